// The standard program without workers.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const held = [];
const deeds = {
  '': (response) => response.end('hello'),
  pid: (response) => response.end(String(process.pid)),
  slow: (response, ms) => setTimeout(() => response.end('slow'), Number(ms)),
  // Until SIGUSR2.
  hold: (response) => held.push(response),
  never: (response) => response.write('never'),
  stop: () => c.stop(),
};
const server = http.createServer((request, response) => {
  const [, name, argument] = /^\/(\w*)\??(.*)$/.exec(request.url);
  report('request', request.url);
  deeds[name](response, argument);
});
process.on('SIGUSR2', () => held.splice(0).forEach((response) => response.end('held')));
server.on('close', () => report('close'));

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'SIGTERM', 'SIGINT', 'warning', 'draining');
c.listen((callback) => callback(server), (app, monApp) => {
  report('facts', { hasProcessCluster: process.cluster !== undefined });
  report('callback', { isApp: app === server, monApp: typeof monApp });
});
