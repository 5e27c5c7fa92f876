// The same application in the workers of Node's own `cluster`; NODE_CLUSTER_SCHED_POLICY chooses rr or none, and where
// there is a BENCH_PORT, each worker has a socket of its own on it. Dead workers are forked again, a reload is the loop
// that everyone writes, and SIGTERM lets the workers finish.
'use strict';

const cluster = require('node:cluster');
const { once } = require('node:events');

const { block, createApp } = require('./app');

if (cluster.isPrimary) {
  let isStopping = false;
  cluster.on('exit', (worker) => {
    if (!isStopping && !worker.exitedAfterDisconnect) cluster.fork();
  });
  for (let i = 0; i < Number(process.env.BENCH_WORKERS); i += 1) cluster.fork();
  process.on('SIGWINCH', block);
  process.on('SIGTERM', () => {
    isStopping = true;
    cluster.disconnect(() => process.exit(0));
  });
  process.on('disconnect', () => process.exit());
  process.on('message', async (order) => {
    const began = performance.now();
    if (order.do === 'reload') await replaceAll();
    process.send({ done: order.do, ms: performance.now() - began });
  });
} else {
  const port = Number(process.env.BENCH_PORT ?? 0);
  createApp().listen({ port, host: '127.0.0.1', reusePort: port > 0 });
}

async function replaceAll() {
  for (const old of Object.values(cluster.workers)) {
    await once(cluster.fork(), 'listening');
    old.disconnect();
    await once(old, 'exit');
  }
}
