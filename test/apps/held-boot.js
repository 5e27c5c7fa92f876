// Workers that stand still before they listen, as long as the file that $HOLD names is there. `/pid` names the worker,
// `/slow` is answered a second later.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const server = http.createServer((request, response) => {
  report('request', request.url);
  if (request.url === '/slow') setTimeout(() => response.end('slow'), 1000);
  else response.end(request.url === '/pid' ? String(process.pid) : 'hello');
});
server.on('listening', () => report('serves', process.pid));

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'hung');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => {
  if (cluster.isWorker) {
    report('boots', process.pid);
    while (fs.existsSync(process.env.HOLD)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
  callback(server);
});
