// The standard program: a cluster of a small http server, with every event reported. What a request does, its path says.
//
// `/` hello; `/pid`; `/slow?ms` answers later; `/never` starts an answer and doesn't end it; `/block?ms` stands still (no
// number: for ever); `/throw`, `/reject`, `/exit?code`; `/command` and `/suicide` send the master the message of that name.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const server = http.createServer((request, response) => {
  const [, name, argument] = /^\/(\w*)\??(.*)$/.exec(request.url);
  report('request', request.url);
  (deeds[name] ?? deeds.pid)(response, argument);
});

const deeds = {
  '': (response) => response.end('hello'),
  pid: (response) => response.end(String(process.pid)),
  slow: (response, ms) => setTimeout(() => response.end('slow'), Number(ms)),
  never: (response) => response.write('never'),
  block: (response, ms) => {
    const until = ms ? Date.now() + Number(ms) : Infinity;
    response.writeHead(200).flushHeaders();
    while (Date.now() < until);
    response.end('blocked');
  },
  throw: () => { throw new Error('thrown by a handler'); },
  reject: () => { Promise.reject(new Error('rejected by a handler')); },
  exit: (response, code) => process.exit(Number(code)),
  kill: () => process.kill(process.pid, 'SIGKILL'),
  command: (response) => { process.send({ command: 'wave', from: process.pid }); response.end('sent'); },
  suicide: (response) => { process.send({ type: 'suicide' }); response.end('asked'); },
};

server.on('close', () => report('close'));
process.on('message', (message) => { if (message?.command) report('command', message); });

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'SIGTERM', 'SIGINT', 'SIGKILL', 'warning', 'draining');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((cb) => {
  report('createApp');
  cb(server);
}, (apps) => report('callback', apps.length));
