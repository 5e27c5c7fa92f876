// The application under load, in the workers of this package. Started by contestants.js, to which it says its port and
// pids in one line of JSON once every worker listens. Nobody is recycled while it is measured.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const Cluster = require('../..');
const { createApp } = require('./app');

const workers = Number(process.env.BENCH_WORKERS);
const c = new Cluster({
  port: 0,
  host: '127.0.0.1',
  monPort: 0,
  noWorkers: workers,
  connThreshold: Number.MAX_SAFE_INTEGER,
  // Each worker runs this too, and makes no directory of its own.
  pids: process.env.BENCH_PIDS ?? (process.env.BENCH_PIDS = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-'))),
});

const pids = [];
c.on('listening', (pid) => {
  pids.push(pid);
  if (pids.length === workers) process.send({ port: c.addresses().app[0].port, pids });
});
process.on('exit', () => {
  if (require('node:cluster').isPrimary) fs.rmSync(process.env.BENCH_PIDS, { recursive: true, force: true });
});
c.listen((cb) => cb(createApp()));
