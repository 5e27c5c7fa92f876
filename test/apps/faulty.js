// An application that gives and throws whatever JavaScript allows, in every place where this package calls it.
//
// $FAULTS is a list of names. `listeners` has the master's listeners throw, and keeps them from ending it. `wrapsSend`
// has workers put every message into another but for Node's own, without which no worker can listen. `takesSend` leaves
// workers that listen without `process.send`.
//
// A request to `/delegate?<JSON of arguments>` or `/say?<JSON of a message>` has the worker ask the master.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const faults = (process.env.FAULTS ?? '').split(' ');
const isFaulty = (name) => faults.includes(name);

const circle = {};
circle.self = circle;
const strange = {
  bigint: () => 1n,
  circle: () => circle,
  getter: () => ({ get value() { throw new Error('a getter'); } }),
  toJSON: () => ({ toJSON() { throw new Error('toJSON'); } }),
  symbol: () => { throw Symbol('thrown'); },
  bare: () => { throw Object.create(null); },
  undefined: () => { throw undefined; },
  rejects: () => Promise.reject(Object.create(null)),
  thenable: () => ({ get then() { throw new Error('then'); } }),
  error: () => { throw Object.assign(new Error('x'), { code: 1n, get message() { throw new Error('message'); } }); },
};

const TRANSACTIONS = [undefined, null, { duration: Symbol('s') }, { duration: Object.create(null) }, { duration: 1n },
  { duration: '5' }, { get duration() { throw new Error('duration'); } }];
const validators = { throws: () => { throw Object.create(null); }, rejects: () => Promise.reject(Symbol('no')) };
const validator = validators[process.env.VALIDATOR];
const c = new Cluster(validator ? { ...options, ecv: { validator } } : options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));

c.componentStatus().then((status) => {
  for (const [name, handler] of Object.entries(strange)) status.register(name, handler);
  status.reducer('throws', strange.bare);
  status.register('reduced', () => 1, 'throws');
  status.register('fine', () => 1, 'sum', strange.circle);
});

if (cluster.isMaster) {
  for (const [name, answer] of Object.entries(strange)) c.handle(name, answer);
  c.handle('fine', () => 'fine');
  c.on('answers', (message) => c.emit(message.expect, { id: message.id, circle }));
  c.on('changes', (message) => { message.self = message; });
  for (const fn of Object.values(strange)) c.metrics(fn);
  c.metrics(() => new Promise(() => {}));
  c.metrics(() => 'fine_total 1\n');
}
if (isFaulty('listeners') && cluster.isMaster) {
  process.on('uncaughtException', (error) => report('uncaught', error.message));
  for (const name of ['component-status-initialized', 'forked', 'listening', 'died', 'warning', 'SIGTERM']) {
    c.on(name, () => { throw new Error(`in ${name}`); });
  }
  for (const name of ['fork', 'online', 'listening', 'disconnect', 'exit', 'message']) {
    cluster.on(name, () => { throw new Error(`in cluster ${name}`); });
  }
}

if (isFaulty('inWorkers')) {
  process.on('uncaughtException', (error) => report('uncaught', error.message));
  for (const name of ['SIGTERM', 'SIGINT', 'draining', 'heartbeat']) {
    c.on(name, () => { throw new Error(`in ${name}`); });
  }
}

const { send } = process;
if (isFaulty('wrapsSend') && cluster.isWorker) {
  process.send = (message, ...rest) => {
    return send.call(process, message.cmd === 'NODE_CLUSTER' ? message : { wrapped: message }, ...rest);
  };
}

process.on('message', (message) => report('message', message));

function nested(depth) {
  let deep = 0;
  for (let at = 0; at < depth; at += 1) deep = [deep];
  return deep;
}

async function ask(path, args) {
  if (path === '/crash') process.kill(process.pid, 'SIGKILL');
  if (path === '/throw') setImmediate(() => { throw new Error('thrown by a request'); });
  if (path === '/say') return process.send(args?.depth ? { ...args, deep: nested(args.depth) } : args);
  if (path === '/transaction') return TRANSACTIONS.forEach((given) => c.emit('rootTransaction', given));
  if (path !== '/delegate') return 'hello';
  return c.delegate(...args).catch(({ code, message }) => ({ code, message }));
}

const server = http.createServer(async (request, response) => {
  const [path, query] = request.url.split('?');
  response.end(JSON.stringify(await ask(path, query && JSON.parse(decodeURIComponent(query)))));
});
c.listen((callback) => callback(server), () => {
  if (isFaulty('takesSend') && cluster.isWorker) process.send = undefined;
  if (isFaulty(cluster.isMaster ? 'listeners' : 'inWorkers')) throw new Error('in the callback');
});
