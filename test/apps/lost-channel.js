// A worker that closes its channel without notice and lives on.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.listen((callback) => callback(http.createServer((request, response) => {
  response.end(String(process.pid));
  if (request.url !== '/lose') return;
  // Node's own listener would end the process.
  process.removeAllListeners('disconnect');
  process.disconnect();
  setInterval(() => {}, 1000);
})), () => {
  if (require('node:cluster').isPrimary) report('port', c.addresses().app[0].port);
});
