// A cluster of this package that is told by benches/reload.js when to reload, and says how long that took.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const Cluster = require('../..');
const { createApp } = require('./servers/app');

const count = Number(process.env.BENCH_WORKERS);
const cluster = require('node:cluster');
const home = cluster.isPrimary ? fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-bench-')) : process.env.BENCH_HOME;
process.env.BENCH_HOME = home;

const c = new Cluster({
  port: 0,
  monPort: 0,
  noWorkers: count,
  host: '127.0.0.1',
  pids: path.join(home, 'pids'),
  logs: path.join(home, 'logs'),
});
let listening = 0;
c.on('listening', () => {
  listening += 1;
  if (listening === count) process.send({ port: c.addresses().app[0].port });
});
if (cluster.isPrimary) {
  process.on('disconnect', () => process.exit());
  process.on('message', async () => {
    const began = performance.now();
    await c.reload();
    process.send({ ms: performance.now() - began });
  });
}
c.listen((callback) => callback(createApp()));
