// A socket.io server that echoes messages and says who it is; polling takes many connections per client.
'use strict';

const http = require('node:http');

const { Server } = require('socket.io');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const server = http.createServer((request, response) => response.end(String(process.pid)));
new Server(server).on('connection', (socket) => {
  socket.on('echo', (text, reply) => reply(text, process.pid));
});

const c = new Cluster(options);
reportEvents(c, 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(server));
