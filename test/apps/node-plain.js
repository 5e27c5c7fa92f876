// A script that serves without `listen` of this package: its workers are plain http servers.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

if (cluster.isWorker) {
  http.createServer((request, response) => {
    if (request.url === '/slow') setTimeout(() => response.end('slow'), 300);
    else response.end(String(process.pid));
  }).listen(options.port, options.host);
} else {
  const c = new Cluster(options);
  reportEvents(c, 'forked', 'listening', 'died', 'warning');
  cluster.on('listening', (worker, { port }) => report('port', port));
  c.listen((cb) => cb([]));
}
