// The standard program: a cluster of a small http server, with every event reported.
//
// What a request does, its path says: see `deeds`. A worker that sends `{call: name}` makes the master call that method
// of its Cluster.
'use strict';

const cluster = require('node:cluster');
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
  // Without a time: for ever.
  block: (response, ms) => {
    const until = ms ? Date.now() + Number(ms) : Infinity;
    while (Date.now() < until);
    response.end('blocked');
  },
  most: (response, connections) => {
    server.maxConnections = Number(connections);
    response.end('set');
  },
  throw: () => { throw new Error('thrown by a handler'); },
  reject: () => { Promise.reject(new Error('rejected by a handler')); },
  exit: (response, code) => process.exit(Number(code)),
  command: (response) => {
    process.send({ command: 'wave', from: process.pid });
    response.end('sent');
  },
  suicide: (response) => {
    process.send({ type: 'suicide', pid: process.pid });
    response.end('asked');
  },
  call: (response, method) => {
    process.send({ call: method });
    response.end('called');
  },
  here: (response, method) => c[method]().then(() => response.end('nothing happened')),
};

const server = http.createServer((request, response) => {
  const [, name, argument] = /^\/(\w*)\??(.*)$/.exec(request.url);
  report('request', request.url);
  deeds[name](response, argument);
});
if (cluster.isWorker) process.on('SIGUSR2', () => held.splice(0).forEach((response) => response.end('held')));
server.on('close', () => report('close'));

if (process.env.OWN_HANDLER) process.on('uncaughtException', (error) => report('handled', error.message));
process.on('message', (message) => {
  if (message?.command) report('command', message);
});
cluster.on('message', (worker, message) => {
  if (message?.call === 'block') return block();
  if (message?.call) c[message.call]().then(() => report('ended', message.call));
  return undefined;
});

// Stands still for longer than anything that goes on meanwhile takes.
function block() {
  report('blocked');
  for (const until = Date.now() + Number(process.env.BLOCK_MS ?? 1500); Date.now() < until;);
  report('unblocked');
}

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'spare', 'died', 'hung', 'SIGTERM', 'SIGINT', 'SIGKILL', 'warning', 'draining',
  'heartbeat');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => {
  report('createApp');
  callback(server);
}, (apps) => report('callback', apps.map(({ port }) => port ?? null)));
