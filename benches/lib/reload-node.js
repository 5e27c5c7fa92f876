// Node's own cluster with the loop that replaces its workers one after the other, when benches/reload.js says so.
'use strict';

const cluster = require('node:cluster');
const { once } = require('node:events');

const { createApp } = require('./servers/app');

async function replaceAll() {
  for (const old of Object.values(cluster.workers)) {
    const successor = cluster.fork();
    await once(successor, 'listening');
    old.disconnect();
    await once(old, 'exit');
  }
}

async function main() {
  let port;
  for (let at = 0; at < Number(process.env.BENCH_WORKERS); at += 1) {
    ([{ port }] = await once(cluster.fork(), 'listening'));
  }
  process.on('disconnect', () => process.exit());
  process.on('message', async () => {
    const began = performance.now();
    await replaceAll();
    process.send({ ms: performance.now() - began });
  });
  process.send({ port });
}

if (cluster.isPrimary) main();
else createApp().listen(0, '127.0.0.1');
