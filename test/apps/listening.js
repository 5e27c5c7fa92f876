// A worker's servers on the options' host: what the master's `cluster` tells of them, and what they say themselves. The
// argument is what else to listen on: a port that may be taken.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [, , more] = process.argv;
// A release may say something else than the one that the master runs.
const host = cluster.isWorker ? process.env.TEST_HOST ?? options.host : options.host;
const c = new Cluster({ ...options, host });
const answer = (req, res) => res.end(JSON.stringify(servers.map((server) => server.address())));
const servers = [];

if (cluster.isPrimary) cluster.on('listening', (worker, address) => report('address', address));
reportEvents(c, 'listening');
c.listen((callback) => {
  servers.push(http.createServer(answer), http.createServer(answer));
  servers[1].on('error', ({ message, code, address, port, stack }) => {
    report('error', { message, code, address, port, stack: stack.split('\n')[0] });
  });
  // The master binds what it knows of beforehand.
  const port = cluster.isPrimary ? 0 : Number(more ?? 0);
  callback([{ app: servers[0], port: 0 }, { app: servers[1], port }]);
});
