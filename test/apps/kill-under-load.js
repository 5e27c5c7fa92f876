// A server whose answers take a moment, so that a worker that is killed has some of them under way.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const ANSWER_MS = 5;

const server = http.createServer((request, response) => {
  setTimeout(() => response.end('done'), ANSWER_MS);
});

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.listen((cb) => cb(server));
if (require('node:cluster').isPrimary) c.once('listening', () => report('port', c.addresses().app[0].port));
