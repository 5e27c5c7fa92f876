// A script that starts its cluster within somebody else's, as PM2's cluster mode has it: Node's own primary forks two
// workers that run it again. SIGTERM has the primary send SIGINT to them, as PM2 does.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

process.on('warning', ({ code, message }) => report('process warning', code, message));

if (cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork()];
  cluster.on('listening', (worker, { port }) => report('serves', worker.process.pid, port));
  cluster.on('exit', (worker, code, signal) => report('left', worker.process.pid, code, signal));
  process.once('SIGTERM', () => workers.forEach((worker) => worker.process.kill('SIGINT')));
} else {
  const c = new Cluster(options);
  reportEvents(c, 'forked', 'listening', 'SIGINT', 'warning');
  const server = http.createServer((request, response) => {
    report('request', request.url);
    setTimeout(() => response.end(String(process.pid)), request.url === '/slow' ? 500 : 0);
  });
  c.listen((callback) => callback(server), () => report('callback'));
}
