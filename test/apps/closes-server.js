// A cluster whose worker closes its server when `/close` is asked for, and lives on.
//
// `/pid` names the worker.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const server = http.createServer((request, response) => {
  response.setHeader('Connection', 'close');
  response.end(String(process.pid));
  if (request.url === '/close') {
    server.close();
    report('closed');
  }
});
const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(server));
