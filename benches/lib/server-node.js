// The same application in the workers of Node's own `cluster`; NODE_CLUSTER_SCHED_POLICY chooses rr or none. Started by
// contestants.js, to which it says its port and pids once every worker listens.
'use strict';

const cluster = require('node:cluster');

const { createApp } = require('./app');

if (cluster.isPrimary) {
  const count = Number(process.env.BENCH_WORKERS);
  const pids = [];
  cluster.on('listening', (worker, { port }) => {
    pids.push(worker.process.pid);
    if (pids.length === count) process.send({ port, pids });
  });
  for (let i = 0; i < count; i += 1) cluster.fork();
  process.on('SIGTERM', () => cluster.disconnect(() => process.exit(0)));
} else {
  process.on('SIGTERM', () => {});
  createApp().listen(0, '127.0.0.1');
}
