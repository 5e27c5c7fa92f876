// A script that makes a `Cluster` in every process, and calls its `listen` in the master only: workers listen by
// themselves.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
if (cluster.isPrimary) {
  reportEvents(c, 'forked', 'listening', 'died', 'warning');
  c.listen((callback) => callback([]));
} else {
  const server = http.createServer((request, response) => response.end(String(process.pid)));
  server.listen(0, '127.0.0.1', () => report('port', server.address().port));
}
