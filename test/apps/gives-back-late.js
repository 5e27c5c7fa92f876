// A raw server whose worker gives each connection back to the master as lib/worker/serving/balance.js does, but only
// when it is told to leave. It reports whether the master took it.
'use strict';

const cluster = require('node:cluster');
const net = require('node:net');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const sockets = [];
const server = net.createServer((socket) => sockets.push(socket));

const c = new Cluster(options);
reportEvents(c, 'listening', 'died');
c.on('listening', () => report('addresses', c.addresses()));
if (cluster.isWorker) {
  server.on('connection', () => report('connected'));
  process.on('internalMessage', ({ act, isTaken }) => {
    if (act !== 'excess') return;
    report('answered', isTaken);
    for (const socket of sockets) socket.end();
  });
  c.on('draining', () => {
    for (const [seq, { _handle: handle }] of sockets.entries()) {
      process.send({ cmd: 'NODE_CLUSTER2', act: 'excess', seq: 1e6 + seq }, handle, {}, () => {});
    }
  });
}
c.listen((callback) => callback(server));
