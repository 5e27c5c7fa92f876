// A worker that closes its channel without notice and lives on. GET /ask asks for the status of a component right
// before, and once more when it is closed.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
async function ask() {
  const status = await c.componentStatus();
  const asked = () => status.getStatus('worker').catch(({ code }) => code);
  const before = asked();
  // Node's own listener ends the process otherwise.
  cluster.worker.exitedAfterDisconnect = true;
  process.disconnect();
  report('asked', await before, await asked());
}

c.listen((callback) => callback(http.createServer((request, response) => {
  response.end(String(process.pid));
  if (request.url === '/ask') ask();
  if (request.url !== '/lose') return;
  // Node's own listener would end the process.
  process.removeAllListeners('disconnect');
  process.disconnect();
  setInterval(() => {}, 1000);
})), () => {
  if (cluster.isPrimary) report('port', c.addresses().app[0].port);
});
