// The application in the workers of this package, started and told what to do by ../contestants.js.
// Nobody is recycled while it is measured. BENCH_OPTIONS holds further options as JSON.
'use strict';

const cluster = require('node:cluster');
const path = require('node:path');

const Cluster = require('../../..');
const { block, createApp, note } = require('./app');

const home = path.dirname(process.env.BENCH_NOTES);
const c = new Cluster({
  port: 0,
  host: '127.0.0.1',
  monHost: '127.0.0.1',
  monPort: false,
  noWorkers: Number(process.env.BENCH_WORKERS),
  connThreshold: Number.MAX_SAFE_INTEGER,
  pids: path.join(home, 'pids'),
  logs: path.join(home, 'logs'),
  ...JSON.parse(process.env.BENCH_OPTIONS ?? '{}'),
});

if (cluster.isPrimary) {
  c.once('listening', () => note({ monitor: c.addresses().monitor?.port ?? null }));
  c.on('spare', (pid) => note({ spare: pid }));
  process.on('SIGWINCH', block);
  process.on('disconnect', () => process.exit());
  process.on('message', async (order) => {
    const began = performance.now();
    if (order.do === 'reload') await c.reload();
    process.send({ done: order.do, ms: performance.now() - began });
  });
}
c.listen((callback) => callback(createApp()));
