// Node's own `cluster` module on both sides. The argument names what happens to the first worker; the master
// reports every event of `cluster` and of that worker, the worker what it sees of itself.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const { report } = require('../support/report');
const { run } = require('./node-run');

const inWorker = {
  'worker disconnects': () => cluster.worker.disconnect(),
  'worker kills itself': () => cluster.worker.kill(),
  'worker closes the channel': () => process.disconnect(),
  'worker exits': () => process.exit(0),
  'worker fails': () => process.exit(3),
  'worker throws': () => setImmediate(() => { throw new Error('for the test'); }),
};

const inMaster = {
  'master disconnects': (worker) => worker.disconnect(),
  'master kills': (worker) => worker.kill(),
  'master destroys': (worker) => worker.destroy(),
  'master kills with SIGKILL': (worker) => worker.kill('SIGKILL'),
  'master kills the process': (worker) => worker.process.kill('SIGKILL'),
  'master signals by number': (worker) => worker.process.kill(9),
};

const EVENTS = ['fork', 'online', 'listening', 'message', 'disconnect', 'exit'];
const what = process.argv[2];

run({ worker, master });

function worker() {
  const { worker: self } = cluster;
  self.on('disconnect', () => report('self', 'disconnect', self.exitedAfterDisconnect, self.isConnected()));
  self.on('listening', (address) => report('self', 'listening', typeof address));
  self.on('message', (message) => {
    report('self', 'message', message);
    process.send('hello master');
    report('self', self.id, self.isConnected(), self.isDead(), self === cluster.worker, self.process === process);
    // The answer is out before anything ends.
    process.send('now', () => inWorker[what]?.());
  });
  http.createServer((request, response) => response.end()).listen(0, '127.0.0.1');
}

function master() {
  const hello = (first) => {
    first.send('hello worker');
    first.on('message', (message) => message === 'now' && inMaster[what]?.(first));
    for (const event of EVENTS.slice(1)) {
      first.on(event, (...args) => report('worker', event, ...args.map(describe)));
    }
  };
  let seen;
  for (const event of EVENTS) {
    cluster.on(event, (worker, ...args) => {
      if (event === 'fork') seen ??= worker;
      if (event === 'listening' && worker === seen) hello(worker);
      if (worker !== seen) return;
      const isListed = cluster.workers[worker.id] === worker;
      report('cluster', event, worker.id, worker.exitedAfterDisconnect, ...args.map(describe));
      if (event === 'fork') report('listed', isListed, worker.process.pid > 0, worker.isConnected(), worker.isDead());
    });
  }
  cluster.on('exit', (worker) => worker === seen && whenGone(worker));
}

// 'exit' and 'disconnect' come in either order.
function whenGone(worker) {
  if (worker.isConnected()) {
    worker.once('disconnect', () => setImmediate(whenGone, worker));
    return;
  }
  const { state, process: { connected, exitCode, signalCode, killed } } = worker;
  report('gone', {
    isListed: worker.id in cluster.workers, isDead: worker.isDead(), state, connected, exitCode, signalCode, killed,
    again: [worker.kill(), worker.process.kill(0)].map(String),
  });
}

// An address without what differs between two programs.
function describe(value) {
  return value?.port > 0 ? { ...value, port: 'some' } : value;
}
