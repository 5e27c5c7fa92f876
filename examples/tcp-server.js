// node examples/tcp-server.js
//
// An echo server on raw TCP; try it with: nc localhost 3000
'use strict';

const net = require('node:net');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const server = net.createServer((socket) => {
  // A client that goes away in the middle is nothing special.
  socket.on('error', () => {});
  socket.write(`hello from worker ${process.pid}\r\n`);
  socket.pipe(socket);
});

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen((cb) => cb(server));
