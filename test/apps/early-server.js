// A worker that opens a server for its metrics long before it calls `listen`; the test says when, by a file.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'listening', 'died');
if (cluster.isPrimary) {
  begin();
} else {
  http.createServer((request, response) => response.end('metrics')).listen(0, '127.0.0.1', () => report('metrics'));
  const watch = setInterval(() => {
    if (!fs.existsSync('now')) return;
    clearInterval(watch);
    begin();
  }, 10);
}

function begin() {
  c.listen((callback) => callback(http.createServer((request, response) => response.end('app'))));
}
