// A worker that throws what the path names, beside the listener for uncaught exceptions that $HANDLER names. With
// $AT_START it throws before it serves as well: in a callback of its own ('callback'), or in createApp ('createApp').
//
// `sentry` is how @sentry/node's default integration listens since version 8, `sentry7` how it did before, and
// `posthog` how posthog-node does: they report, and end the process only where no other listener is there.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

// What both leave out when they count the listeners of others.
const isTheirs = (mark) => (listener) => listener.name === 'domainUncaughtExceptionClear' || listener[mark] === true;

function reporter(mark, endsAnyway) {
  const listener = (error) => {
    report('captured', error?.message);
    const others = process.listeners('uncaughtException').filter((other) => !isTheirs(mark)(other));
    if (others.length === 0 || endsAnyway) setImmediate(() => process.exit(1));
  };
  process.on('uncaughtException', Object.assign(listener, { [mark]: true }));
}

const handlers = {
  domain: () => require('node:domain'),
  inDomain: () => require('node:domain').create().on('error', (error) => report('in the domain', error.message)),
  sentry: () => reporter('_errorHandler', false),
  sentry7: () => reporter('_errorHandler', true),
  posthog: () => reporter('_posthogErrorHandler', false),
  both: () => [require('node:domain'), reporter('_errorHandler', false)],
  own: () => process.on('uncaughtException', (error) => report('handled', error.message)),
  ownOnce: () => process.once('uncaughtException', (error) => report('handled', error.message)),
  ownAndDomain: () => [handlers.domain(), handlers.own()],
};

const cause = Object.assign(new RangeError('the cause'), { code: 'E_CAUSE' });
const thrown = {
  error: () => new Error('plain'),
  cause: () => Object.assign(new Error('outer', { cause }), { code: 'E_OUTER', details: { at: 7 } }),
  aggregate: () => new AggregateError([new TypeError('one of two'), cause], 'all of them'),
  text: () => 'only a text',
  symbol: () => Symbol('a symbol'),
  bare: () => Object.create(null),
  undefined: () => undefined,
  getter: () => Object.defineProperties(new Error('hidden'), {
    stack: { get() { throw new Error('stack'); } },
    message: { get() { throw new Error('message'); } },
  }),
};

const domain = handlers[process.env.HANDLER]?.();
const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
if (process.env.WARNING_THROWS) c.on('warning', () => { throw new Error('thrown by a listener for warning'); });

const server = http.createServer((request, response) => {
  const name = request.url.slice(1);
  if (name === 'pid') return response.end(String(process.pid));
  if (name === 'inDomain') return domain.run(() => setImmediate(() => { throw new Error('of the domain'); }));
  report('throws', name);
  setImmediate(() => { throw thrown[name](); });
  return response.end();
});
c.listen((callback) => {
  const { AT_START } = process.env;
  if (!cluster.isWorker || AT_START === undefined) return callback(server);
  if (AT_START === 'createApp') throw new Error('thrown by createApp');
  setImmediate(() => { throw new Error('thrown at the start'); });
  return setTimeout(() => callback(server), 50);
});
