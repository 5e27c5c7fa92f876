// Workers that open a server for their metrics long before they call `listen`; the test says when, by a file for all or
// one for each.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const SLOW_MS = 600;
const c = new Cluster(options);
reportEvents(c, 'listening', 'died');
if (cluster.isPrimary) {
  begin();
} else {
  const server = http.createServer((request, response) => {
    setTimeout(() => response.end(String(process.pid)), request.url === '/slow' ? SLOW_MS : 0);
  });
  server.listen(0, '127.0.0.1', () => report('metrics', server.address().port));
  const watch = setInterval(() => {
    if (!fs.existsSync('now') && !fs.existsSync(`now-${process.pid}`)) return;
    clearInterval(watch);
    begin();
  }, 10);
}

function begin() {
  c.listen((callback) => callback(http.createServer((request, response) => response.end('app'))));
}
