// A cluster whose workers load the package, make no `Cluster` and listen by themselves; they report each connection by
// its client's port.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

if (cluster.isPrimary) {
  const c = new Cluster(options);
  reportEvents(c, 'forked', 'listening', 'died', 'warning');
  c.listen(() => http.createServer());
} else {
  const server = http.createServer((request, response) => response.end(String(process.pid)));
  server.on('connection', (socket) => report('accepted', socket.remotePort));
  server.listen(0, '127.0.0.1', () => report('port', server.address().port));
}
