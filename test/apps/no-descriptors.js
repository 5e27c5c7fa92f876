// A cluster whose master uses up all descriptors that it may have, as soon as its worker listens; then the worker asks
// to be replaced. With the argument `once more`, the master also takes what it had kept back for the fork of the
// successor, and gives all of it back a while later. With `send` it sends a server instead, before and after it has
// given them back.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const net = require('node:net');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { takeDescriptors, useUpDescriptors } = require('../support/descriptors');
const { report, reportEvents } = require('../support/report');

const BACK_AFTER_MS = 1000;
let isFull = false;

process.on('message', (message) => message === 'go' && process.send({ type: 'suicide', pid: process.pid }));

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
if (process.argv[2] === 'once more') {
  c.on('forked', () => {
    if (!isFull) return;
    const { code, release } = takeDescriptors();
    report('full again', code);
    setTimeout(release, BACK_AFTER_MS);
  });
}
c.once('listening', () => {
  if (process.argv[2] === 'send') return send();
  isFull = true;
  report('full', useUpDescriptors());
  for (const worker of Object.values(cluster.workers)) worker.send('go');
});
c.listen((callback) => callback(http.createServer((request, response) => response.end('hello'))));

function send() {
  const [worker] = Object.values(cluster.workers);
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { release } = takeDescriptors();
    worker.send('take it', server, ({ code }) => {
      report('not sent', code, server.listening);
      release();
      worker.send('take it', server, (error) => report('sent', error));
    });
  });
}
