// A cluster whose master uses up all descriptors that it may have, as soon as its worker listens; then the worker asks
// to be replaced.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { useUpDescriptors } = require('../support/descriptors');
const { report, reportEvents } = require('../support/report');

process.on('message', () => process.send({ type: 'suicide', pid: process.pid }));

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.once('listening', () => {
  report('full', useUpDescriptors());
  for (const worker of Object.values(cluster.workers)) worker.send('go');
});
c.listen((callback) => callback(http.createServer((request, response) => response.end('hello'))));
