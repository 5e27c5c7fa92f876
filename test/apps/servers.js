// Workers with servers beside the one that is handed over, or whose servers the application has set up by itself, in
// the way that the first argument names.
//
// Every server of this program answers `/hold` on SIGUSR2, `/pid` with the worker's pid, and everything else with its
// name; `/disconnect` has the worker disconnect by itself. Where a server listens is reported as `opened`.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const tls = require('node:tls');

const certificate = require('../support/certificate');
const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');
const { wrapped } = require('../support/wrapped');

const [kind, ...rest] = process.argv.slice(2);
const held = [];
const isServing = cluster.isWorker || options.cluster === false;
if (isServing) process.on('SIGUSR2', () => held.splice(0).forEach((answerIt) => answerIt()));

const answers = (name) => (request, response) => {
  report('request', name, request.url);
  if (request.url === '/hold') held.push(() => response.end('held'));
  else response.end(request.url === '/pid' ? String(process.pid) : name);
  if (request.url === '/disconnect') cluster.worker.disconnect();
};
const named = (name) => http.createServer(answers(name));
const echo = (socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
};

function opens(name, server, ...where) {
  server.listen(...where, () => report('opened', name, server.address()));
  return server;
}

const given = {
  http: () => named('given'),
  https: () => https.createServer(certificate, answers('given')),
  http2: () => http2.createServer(answers('given')),
  http2s: () => http2.createSecureServer({ ...certificate, allowHTTP1: true }, answers('given')),
  net: () => net.createServer(echo),
  tls: () => tls.createServer(certificate, echo),
};

const local = { port: 0, host: '127.0.0.1' };
const afterwards = {};
const kinds = {
  'a second server': () => {
    opens('second', named('second'), local);
    return named('app');
  },
  'a second server of its own port': () => {
    opens('second', named('second'), { ...local, exclusive: true });
    return named('app');
  },
  'a second server of http2': () => {
    opens('second', http2.createServer(answers('second')), local);
    return named('app');
  },
  'a second server of tcp': () => {
    opens('second', net.createServer(echo), local);
    return named('app');
  },
  'a second server later': () => {
    afterwards[kind] = () => opens('second', named('second'), local);
    return named('app');
  },
  'a second server when it drains': () => {
    c.once('draining', () => opens('second', named('second'), local));
    return named('app');
  },
  // As a framework's helper on loopback: what is asked of the app it asks there, during the drain too.
  'a server for itself': () => {
    const inside = opens('inside', http.createServer((request, response) => response.end('from inside')), local);
    return http.createServer((request, response) => {
      report('request', 'app', request.url);
      const ask = () => http.get({ ...local, port: inside.address().port, agent: false }, (answer) => {
        answer.pipe(response);
      }).on('error', (error) => response.end(error.code));
      if (request.url === '/hold') held.push(ask);
      else response.end(request.url === '/pid' ? String(process.pid) : 'app');
    });
  },
  'listens by itself': () => {
    afterwards[kind] = () => opens('app', named('app'), { port: options.port, host: options.host });
    return [];
  },
  // As programs do that find out by the first byte what a client speaks.
  sniffs: () => {
    const inner = named('inner');
    return net.createServer((socket) => inner.emit('connection', socket));
  },
  'given connections': () => {
    const [protocol] = rest;
    const server = given[protocol]();
    const front = net.createServer((socket) => server.emit('connection', wrapped(socket)));
    afterwards[kind] = () => opens('front', front, local);
    return server;
  },
};

if (kind === 'listens before' && isServing) opens('second', named('second'), local);

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning', 'draining');
cluster.worker?.on('disconnect', () => report('disconnected'));
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => {
  if (!isServing) return callback(named('master'));
  const app = kinds[kind]?.() ?? named('app');
  callback(app);
  return undefined;
}, () => report('callback'));
if (isServing) setImmediate(() => afterwards[kind]?.());
