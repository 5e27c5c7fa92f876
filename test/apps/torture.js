// A cluster that speaks all that load clients speak: HTTP/1.1 on a port and at a unix path, https, HTTP/2,
// WebSocket, SSE.
//
// `/` answers 'hello'; `/upload` counts what it is sent; `/events` sends numbered events and goes on after
// Last-Event-ID; `/pid` names the worker; `/suicide` has its worker replaced; an upgrade gives a WebSocket that echoes.
'use strict';

const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');

const { WebSocketServer } = require('ws');

const certificate = require('../support/certificate');
const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const EVENT_MS = 20;

function answer(request, response) {
  const deed = deeds[request.url] ?? deeds['/'];
  deed(request, response);
}

const deeds = {
  '/': (request, response) => {
    request.resume();
    response.end('hello');
  },
  '/pid': (request, response) => {
    request.resume();
    response.end(String(process.pid));
  },
  '/upload': (request, response) => {
    let bytes = 0;
    request.on('data', (part) => { bytes += part.length; });
    request.on('end', () => response.end(String(bytes)));
  },
  '/events': (request, response) => {
    let id = Number(request.headers['last-event-id'] ?? 0);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const timer = setInterval(() => response.write(`id: ${id += 1}\ndata: x\n\n`), EVENT_MS);
    response.on('close', () => clearInterval(timer));
  },
  '/suicide': (request, response) => {
    process.send({ type: 'suicide' });
    response.end('asked');
  },
};

const plain = http.createServer(answer);
const sockets = new WebSocketServer({ server: plain });
sockets.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data) => socket.send(data));
});

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((cb) => cb([
  { app: plain, port: [0, './plain.sock'] },
  { app: https.createServer(certificate, answer), port: 0 },
  { app: http2.createSecureServer(certificate, answer), port: 0 },
]));
