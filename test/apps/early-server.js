// A worker that opens a server for its metrics long before it hands its application over.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'listening', 'died');
if (cluster.isWorker) {
  http.createServer((request, response) => response.end('metrics')).listen(0, '127.0.0.1', () => report('metrics'));
}
c.listen((callback) => {
  const handOver = () => {
    report('hands over');
    callback(http.createServer((request, response) => response.end('app')));
  };
  if (cluster.isPrimary) handOver();
  // The test says when, by a file in the working directory.
  else {
    const watch = setInterval(() => {
      if (!require('node:fs').existsSync('now')) return;
      clearInterval(watch);
      handOver();
    }, 10);
  }
});
