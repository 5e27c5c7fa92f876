// npm install --no-save ws && node examples/ws-server.js
//
// WebSockets beside plain HTTP, with the library ws. A worker that drains keeps its WebSockets for a while; here it
// says goodbye at once, so that clients come back, to another worker.
'use strict';

const http = require('node:http');

const { WebSocketServer } = require('ws');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const GOING_AWAY = 1001;

const server = http.createServer((req, res) => res.end('hello\n'));
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data) => socket.send(`${process.pid} heard: ${data}`));
});

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.on('draining', () => {
  for (const socket of sockets.clients) socket.close(GOING_AWAY);
});
c.listen((cb) => cb(server));
