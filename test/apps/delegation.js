// Workers that delegate to the master; the argument names the scenario. The master orders each worker to act by
// `{act, ...}` and reports what came of it; workers report every message that has a type.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

const c = new Cluster(options);
const { isMaster } = cluster;
const [, , scenario] = process.argv;

const inWorker = {
  send: ({ message }) => process.send(message),
  ask({ name, payload, options, tag }) {
    const settled = (what) => (value) => report(what, tag ?? name, value);
    c.delegate(name, payload, options).then(settled('answered'), ({ code, message, cause, constructor }) => {
      const isOurs = constructor === Cluster.Cluster2Error;
      settled('refused')({ code, message, isOurs, cause: cause && { ...cause } });
    });
  },
  // Many in one turn, one payload that changes, and in their midst one that can't be sent.
  async burst({ count }) {
    const payload = { n: 0 };
    const asked = [];
    for (let i = 0; i < count; i += 1) {
      payload.n = i;
      payload.self = i === count / 2 ? payload : undefined;
      asked.push(c.delegate('echo', payload).then(({ n }) => n, ({ code }) => code));
    }
    report('burst', await Promise.all(asked));
  },
  goodbye({ count }) {
    for (let i = 0; i < count; i += 1) c.delegate('log', i).catch(() => {});
    process.exit(1);
  },
  // So many at once, of which every second is never answered.
  async flood({ count }) {
    const outcomes = {};
    const asked = Array.from({ length: count }, (_, at) => {
      const name = at % 2 === 0 ? 'echo' : 'nobody';
      const settle = (what) => { outcomes[what] = (outcomes[what] ?? 0) + 1; };
      return c.delegate(name, at, { timeout: 100 }).then((value) => settle(value === at ? 'same' : 'other'),
        ({ code }) => settle(code));
    });
    await Promise.all(asked);
    process.send({ type: 'flooded', outcomes, left: leftBehind() });
  },
  // The same by messages, with what must match, and all of one name.
  floodByMessages({ count }) {
    const outcomes = {};
    let left = count;
    process.on('message', ({ type, error, id }) => {
      if (type !== 'told') return;
      const what = error ? error.message : id % 2 === 0 ? 'same' : 'other';
      outcomes[what] = (outcomes[what] ?? 0) + 1;
      left -= 1;
      if (left === 0) process.send({ type: 'flooded', outcomes, left: leftBehind() });
    });
    for (let id = 0; id < count; id += 1) {
      process.send({ type: 'delegate', delegate: 'tell', expect: 'told', matches: ['id'], timeOut: 100, id });
    }
  },
};

const scenarios = {
  // Answers as the test orders: `{delegate: [what is emitted, how often]}`.
  plain() {
    c.on('config', (message) => {
      report('asked', message, message.origin === message);
      c.emit('config-read', { domain: message.domain, value: 1, type: 'overwritten' });
    });
    c.on('later', (message) => {
      report('asked', message);
      setTimeout(() => c.emit(message.expect, { id: message.id, late: true }), message.after ?? 5);
    });
    c.on('text', (message) => c.emit(message.expect, 'a text'));
    c.on('list', (message) => c.emit(message.expect, [1, 2]));
    c.on('none', (message) => report('asked', message));
    c.on('error-name', () => c.emit('error', { fine: true }));
    c.on('order', ({ ids }) => { for (const id of ids) c.emit('ordered', { id }); });
  },
  handles() {
    c.handle('echo', (payload) => payload);
    c.handle('log', (payload) => report('logged', payload));
    c.handle('double', async ({ n }) => ({ n: n * 2 }));
    c.handle('fails', () => { throw Object.assign(new RangeError('too far'), { code: 'E_FAR' }); });
    c.handle('rejects', async () => { throw 'a text'; });
    c.handle('circular', () => { const circle = {}; circle.self = circle; return circle; });
    c.handle('slow', () => new Promise((resolve) => setTimeout(resolve, 300, 'late')));
    c.handle('never', () => new Promise(() => {}));
    c.handle('dead', (payload, { type, delegate }) => ({ type, delegate, payload }));
    c.on('old', (message) => c.emit(message.expect, { got: message.domain }));
    c.on('old-named', ({ domain }) => {
      c.emit('named', { domain: 'another' });
      c.emit('named', { domain, found: true });
    });
    c.on('warning', ({ message }) => report('warning', message));
    c.delegate('echo', { from: 'master' }).then((value) => report('to itself', value));
  },
  flood() {
    c.handle('echo', async (payload) => payload);
    c.on('tell', ({ id }) => { if (id % 2 === 0) setImmediate(() => c.emit('told', { id })); });
    c.on('flooded', (message) => report('flooded', message.outcomes, message.left, leftBehind()));
    cluster.on('message', (worker, message) => {
      if (message.type === 'flooded') report('flooded', message.outcomes, message.left, leftBehind());
    });
  },
};

if (isMaster) {
  scenarios[scenario]();
  c.on('died', (...args) => report('died', ...args));
  c.on('listening', (pid) => report('listening', pid));
  // Orders of the test, one per request.
  const control = http.createServer((request, response) => {
    let text = '';
    request.on('data', (part) => { text += part; });
    request.on('end', () => {
      obey(JSON.parse(text));
      response.end();
    });
  });
  control.listen(0, '127.0.0.1', () => report('control', control.address().port));
} else {
  process.on('message', (message) => {
    if (message.act) inWorker[message.act](message);
    else if (message.type && scenario !== 'flood') report('message', message);
  });
}

function obey({ to, emit, ...order }) {
  if (emit) c.emit(...emit);
  else cluster.workers[Object.keys(cluster.workers).find((id) => cluster.workers[id].process.pid === to)].send(order);
}

// What a delegation could have left: listeners and timers.
function leftBehind() {
  const listeners = c.eventNames().reduce((sum, name) => sum + c.listenerCount(name), 0);
  const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  global.gc?.();
  return { listeners, timers, heap: process.memoryUsage().heapUsed };
}

c.listen((cb) => cb(http.createServer()), () => report('ready'));
