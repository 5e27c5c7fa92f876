// A worker that collects its garbage when it is asked to, and answers with what Node's own observer has counted so far.
// To be run with --expose-gc.
'use strict';

const http = require('node:http');
const { PerformanceObserver, constants } = require('node:perf_hooks');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const told = { minor: 0, major: 0, incremental: 0, pauseMs: 0 };
new PerformanceObserver((list) => {
  for (const { detail, duration } of list.getEntries()) {
    told.pauseMs += duration;
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) told.minor += 1;
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) told.major += 1;
    if (detail.kind === constants.NODE_PERFORMANCE_GC_INCREMENTAL) told.incremental += 1;
  }
}).observe({ entryTypes: ['gc'] });

const c = new Cluster(options);
reportEvents(c, 'listening', 'heartbeat');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(http.createServer((req, res) => {
  if (req.url === '/collect') {
    global.gc();
    global.gc({ type: 'minor' });
  }
  // The observer may hear of it later.
  res.end(JSON.stringify(told));
})));
