// A worker with several kinds of servers, whose row of the scoreboard is looked at from outside.
//
// `SERVER` says which kind is handed over: http, https, http2, tcp; or `own`, an http server that listens by itself
// beside one that is not used. The paths are deeds, see below.
'use strict';

const cluster = require('node:cluster');
const { spawnSync } = require('node:child_process');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');

const Cluster = require('../support/cluster');
const { key, cert } = require('../support/certificate');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const hoard = [];
const deeds = {
  '': (response) => response.end('hello'),
  status: (response, code) => response.writeHead(Number(code)).end(),
  never: () => {},
  block: () => { for (;;); },
  exit: (response, code) => process.exit(Number(code)),
  abort: () => process.abort(),
  throw: () => { throw new Error('thrown by a handler'); },
  // In one go: the event loop never turns again.
  hoard: () => { for (;;) hoard.push(new Array(1000).fill(1.5)); },
  // Step by step.
  leak: () => setInterval(() => {
    for (let count = 0; count < 20; count += 1) hoard.push(new Array(1000).fill({}));
  }, 5),
  child: (response) => response.end(spawnSync('ls', ['-l', '/proc/self/fd']).stdout),
  transactions: (response) => {
    for (const duration of [2, 3, 'none']) c.emit('rootTransaction', { duration });
    c.emit('errorTransaction');
    response.end(process.heartbeat?.constructor.name);
  },
};

function handle(request, response) {
  const [, name, argument] = /^\/(\w*)\??(.*)$/.exec(request.url);
  report('request', request.url);
  deeds[name](response, argument);
}

const kinds = {
  http: () => http.createServer(handle),
  https: () => https.createServer({ key, cert }, handle),
  http2: () => http2.createServer(handle),
  tcp: () => net.createServer((socket) => socket.pipe(socket)),
  own: () => {
    if (cluster.isWorker) {
      const own = http.createServer(handle);
      own.listen(0, options.host, () => report('own', own.address().port));
    }
    return http.createServer(handle);
  },
};

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning', 'heartbeat');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(kinds[process.env.SERVER ?? 'http']()));
