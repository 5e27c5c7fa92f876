// One contestant of ../../measures/delegation.js, master and worker in one script; the argument says how they talk.
//
// `node` is Node's own cluster and its messages, `messages` cluster2's delegation by `process.send` and
// `emit`, and `promises` the same by `c.delegate` and `c.handle`. Whoever started the master says
// `{outstanding, milliseconds}`, and the worker then keeps so many requests under way for so long and says
// how many were answered.
'use strict';

const cluster = require('node:cluster');

const REQUEST = { domain: 'ads', project: 'search', keys: ['one', 'two', 'three'] };
const ANSWER = { domain: 'ads', value: { limit: 100, hosts: ['10.0.0.1', '10.0.0.2'] } };

const kinds = {
  node: {
    master() {
      cluster.on('message', (worker, message) => {
        if (message.type === 'delegate') worker.send({ ...ANSWER, id: message.id, type: message.expect });
      });
      whenReady(cluster.fork());
    },
    worker: askByMessages,
  },
  messages: {
    master() {
      const c = makeCluster();
      c.on('ask', (message) => c.emit('told', { ...ANSWER, id: message.id }));
      start(c);
    },
    worker: askByMessages,
  },
  promises: {
    master() {
      const c = makeCluster();
      c.handle('ask', (payload) => ({ ...ANSWER, id: payload.id }));
      start(c);
    },
    worker() {
      const c = makeCluster();
      c.listen((callback) => callback([]));
      return (outstanding, isOver, done) => {
        let count = 0;
        let left = outstanding;
        const ask = async () => {
          while (!isOver()) {
            await c.delegate('ask', { ...REQUEST, id: count });
            count += 1;
          }
          left -= 1;
          if (left === 0) done(count);
        };
        for (let i = 0; i < outstanding; i += 1) ask();
      };
    },
  },
};

const kind = kinds[process.argv[2]];
if (cluster.isWorker) {
  const ask = kind.worker();
  process.on('message', ({ outstanding, milliseconds }) => {
    if (!outstanding) return;
    const begun = performance.now();
    const isOver = () => performance.now() - begun > milliseconds;
    ask(outstanding, isOver, (count) => process.send({ rate: (count * 1000) / (performance.now() - begun) }));
  });
  process.send({ isReady: true });
} else {
  kind.master();
}

function askByMessages() {
  let count = 0;
  let left = 0;
  let isOver;
  let done;
  const ask = () => {
    if (isOver()) {
      left -= 1;
      if (left === 0) done(count);
      return;
    }
    const { pid } = process;
    process.send({ ...REQUEST, type: 'delegate', delegate: 'ask', expect: 'told', targets: [pid], id: count });
  };
  process.on('message', (message) => {
    if (message.type !== 'told') return;
    count += 1;
    ask();
  });
  return (outstanding, ...rest) => {
    [isOver, done] = rest;
    count = 0;
    left = outstanding;
    for (let i = 0; i < outstanding; i += 1) ask();
  };
}

function makeCluster() {
  const Cluster = require('../../..');
  return new Cluster({ port: 0, monPort: false, noWorkers: 1, host: '127.0.0.1', pids: `pids-${process.argv[2]}` });
}

function start(c) {
  c.once('forked', () => whenReady(Object.values(cluster.workers)[0]));
  c.listen((callback) => callback([]));
}

// Between whoever started us and the worker, which is asked for a round at a time.
function whenReady(worker) {
  worker.on('message', (message) => {
    if (message.isReady) process.send({ pids: [process.pid, worker.process.pid] });
    if (message.rate) process.send({ rate: message.rate });
  });
  process.on('message', (order) => worker.send(order));
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
}
