// A worker that talks without pause, so that its channel is lent to the thread of JavaScript; the argument names what
// happens meanwhile. The worker reports by itself what the master could not pass on.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

const LAST = 30000;
const BLOCKED_MS = 4000;
const CHANNEL = 3;
const TURNED = `${JSON.stringify({ cmd: 'NODE_CLUSTER2', act: 'turned' })}\n`;
const MANY_TURNED = Buffer.from(TURNED.repeat(1000));
const [, , scenario] = process.argv;
const c = new Cluster({ ...options, noWorkers: scenario === 'protocol' ? 6 : 1 });

const inMaster = {
  // Counts what comes, and throws now and then.
  order() {
    const heard = { count: 0, disorder: null, handles: 0, thrown: 0 };
    process.on('uncaughtException', () => { heard.thrown += 1; });
    cluster.on('message', (worker, { n }, handle) => {
      if (n === undefined) return;
      heard.count += 1;
      if (n !== heard.count) heard.disorder ??= [heard.count, n];
      if (handle) {
        heard.handles += 1;
        handle.close();
      }
      worker.send({ heard: n });
      if (n === LAST) report('order', heard);
      if (n % 1000 === 500) throw new Error('one listener fails');
    });
  },
  blocked() {
    cluster.on('message', (worker, { n, isOver }) => {
      if (isOver) report('over');
      if (!n) return;
      worker.send({ heard: n });
      if (n === LAST) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCKED_MS);
    });
  },
  dies() {
    cluster.on('message', (worker, { n }) => {
      if (n === LAST) cluster.on('exit', () => report('last words', worker.lastWord));
      if (n === undefined) return;
      worker.lastWord = n;
      worker.send({ heard: n });
    });
  },
};

const inWorker = {
  // Pauses, bursts, handles and messages of the protocol between the numbers.
  async order() {
    let last = 0;
    const turn = () => new Promise((resolve) => { setImmediate(resolve); });
    const heard = answers();
    while (last < LAST) {
      const burst = last % 5000 < 1500 ? 1 : 1 + (last % 37);
      for (let i = 0; i < burst && last < LAST; i += 1) {
        last += 1;
        if (last % 997 === 0) await withHandle(last);
        else process.send({ n: last });
        if (last % 701 === 0) process.send({ cmd: 'NODE_CLUSTER2', act: 'turned' });
      }
      if (burst === 1) await heard(last);
      if (last % 7 === 0) await turn();
      if (last % 10000 === 1000) await new Promise((resolve) => { setTimeout(resolve, 200); });
    }
  },
  async blocked() {
    await talk();
    const begun = performance.now();
    http.createServer().listen(0, '127.0.0.1', () => report('lent a socket', performance.now() - begun));
    // For as long as the master is blocked, and no longer.
    const more = () => {
      process.send({ n: 0 });
      if (performance.now() - begun < BLOCKED_MS / 2) setImmediate(more);
      else process.send({ isOver: true });
    };
    more();
  },
  async dies() {
    await talk();
    for (let n = LAST + 1; n < LAST + 500; n += 1) process.send({ n });
    // What the kernel has not taken yet would go with the channel.
    process.send({ n: LAST + 500 }, () => process.disconnect());
  },
  // Messages of the protocol alone, which the supervisor's loop takes in, for as long as the worker lives. They are
  // written as fast as the kernel takes them; a message that was begun is finished, since Node writes there too.
  protocol() {
    for (let left = MANY_TURNED; left.length % TURNED.length > 0 || left === MANY_TURNED;) {
      try {
        left = left.subarray(fs.writeSync(CHANNEL, left));
      } catch (error) {
        if (error.code !== 'EAGAIN') return;
        if (left === MANY_TURNED) break;
      }
    }
    setImmediate(inWorker.protocol);
  },
};

// One word, one answer.
async function talk() {
  const heard = answers();
  for (let n = 1; n <= LAST; n += 1) {
    process.send({ n });
    await heard(n);
  }
}

function answers() {
  let last = 0;
  let wake = () => {};
  process.on('message', (message) => {
    if (message.heard === undefined) return;
    last = message.heard;
    wake();
  });
  return async (n) => {
    while (last < n) await new Promise((resolve) => { wake = resolve; });
  };
}

function withHandle(n) {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
      process.send({ n }, server, () => server.close());
      resolve();
    });
  });
}

if (cluster.isMaster) inMaster[scenario]?.();
c.listen((callback) => callback(http.createServer()), () => {
  if (cluster.isWorker) inWorker[scenario]();
  else report('listens');
});
