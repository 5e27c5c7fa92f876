// Workers that listen by themselves, in every way that Node knows. The arguments name the ways; each worker tries
// them in turn and reports `bound` with what `address()` says, or `refused` with the error.
//
// Servers answer with `<pid>`; `/close` closes the server first, `/again` closes it and listens again where it was.
'use strict';

const dgram = require('node:dgram');
const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const path = require('node:path');

const { report } = require('../support/report');
const { run } = require('./node-run');

const keys = path.join(__dirname, '..', '..', 'examples', 'keys');
const HOST = '127.0.0.1';
const fixedPort = Number(process.env.FIXED_PORT);
const takenPort = Number(process.env.TAKEN_PORT);

const ways = {
  http: () => listen(httpServer(), 0, HOST),
  https: () => listen(https.createServer(certificate(), answer), 0, HOST),
  http2: () => listen(http2.createSecureServer(certificate(), answer), 0, HOST),
  h2c: () => listen(http2.createServer(answer), 0, HOST),
  net: () => listen(net.createServer((socket) => socket.end(String(process.pid))), 0, HOST),
  'nothing said': () => listen(httpServer()),
  'port only': () => listen(httpServer(), 0),
  'host ::': () => listen(httpServer(), 0, '::'),
  'host ::1': () => listen(httpServer(), 0, '::1'),
  'host 0.0.0.0': () => listen(httpServer(), 0, '0.0.0.0'),
  'host 127.0.0.1': () => listen(httpServer(), 0, HOST),
  'host localhost': () => listen(httpServer(), 0, 'localhost'),
  ipv6Only: () => listen(httpServer(), { port: 0, host: '::', ipv6Only: true }),
  'backlog 0': () => listen(httpServer(), { port: 0, host: HOST, backlog: 0 }),
  'backlog 1': () => listen(httpServer(), { port: 0, host: HOST, backlog: 1 }),
  exclusive: () => listen(httpServer(), { port: 0, host: HOST, exclusive: true }),
  'fixed port': () => listen(httpServer(), fixedPort, HOST),
  path: () => listen(httpServer(), path.resolve('plain.sock')),
  'path for all': () => listen(httpServer(), { path: path.resolve('all.sock'), readableAll: true, writableAll: true }),
  'relative path': () => listen(httpServer(), './relative.sock'),
  'abstract path': () => listen(httpServer(), `\0${process.env.CLUSTER2_TEST_ID}`),
  fd: () => listen(httpServer(), { fd: Number(process.env.LISTEN_FD) }),
  udp4: () => bind('udp4', { port: 0, address: HOST }),
  udp6: () => bind('udp6', { port: 0, address: '::1' }),
  'udp4 port only': () => bind('udp4', 0),
  'udp4 exclusive': () => bind('udp4', { port: 0, address: HOST, exclusive: true }),
  'port taken': () => listen(httpServer(), takenPort, HOST),
  'path taken': () => listen(httpServer(), process.env.TAKEN_PATH),
  'path in no directory': () => listen(httpServer(), '/no/such/directory/a.sock'),
  'foreign address': () => listen(httpServer(), 0, '203.0.113.1'),
  'udp port taken': () => bind('udp4', { port: takenPort, address: HOST }),
  'port of the privileged': () => listen(httpServer(), 1, HOST),
};

run({ master, worker });

// A descriptor of the master's own, on which workers may listen by its number. It is bound and no more: Node's own
// primary can't listen on what its event loop watches already.
function master() {
  if (process.argv.includes('fd')) process.env.LISTEN_FD = String(net._createServerHandle(HOST, 0, 4).fd);
}

async function worker() {
  for (const name of process.argv.slice(2)) {
    try {
      const server = await ways[name]();
      report('bound', name, server.address());
    } catch ({ code, errno, syscall, address, port, message }) {
      report('refused', name, { code, errno, syscall, address, port, message });
    }
  }
  report('done');
}

function httpServer() {
  return http.createServer(answer);
}

function answer(request, response) {
  if (request.url === '/close') this.close(() => report('closed'));
  if (request.url === '/again') {
    const { address: host, port } = this.address();
    this.close(() => listen(this, port, host).then(() => report('again'), (error) => report('again', error.code)));
  }
  // So that a closing server need not wait for its clients.
  if (request.httpVersionMajor < 2) response.setHeader('connection', 'close');
  response.end(String(process.pid));
}

function listen(server, ...where) {
  return settled(server, 'listening', () => server.listen(...where));
}

function bind(type, where) {
  const socket = dgram.createSocket(type);
  socket.on('message', (message, { port, address }) => {
    report('datagram', type, String(message));
    socket.send(String(process.pid), port, address);
  });
  return settled(socket, 'listening', () => socket.bind(where));
}

function settled(emitter, event, act) {
  return new Promise((resolve, reject) => {
    emitter.once('error', reject);
    emitter.once(event, () => resolve(emitter));
    act();
  });
}

function certificate() {
  return {
    key: fs.readFileSync(path.join(keys, 'localhost.key')),
    cert: fs.readFileSync(path.join(keys, 'localhost.crt')),
  };
}
