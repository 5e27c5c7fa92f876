// npm install --no-save socket.io @socket.io/cluster-adapter && node examples/socket-io-server.js
//
// socket.io, whose long-polling needs a client to come to the same worker again: `sticky: 'address'` has the kernel
// do that, without a proxy. The cluster adapter carries broadcasts from worker to worker, over Node's own cluster
// messages.
'use strict';

const nodeCluster = require('node:cluster');
const http = require('node:http');

const { createAdapter, setupPrimary } = require('@socket.io/cluster-adapter');
const { Server } = require('socket.io');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001, sticky: 'address' });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));

if (nodeCluster.isPrimary) setupPrimary();

c.listen((cb) => {
  const server = http.createServer((req, res) => res.end('hello\n'));
  // The adapter is for workers; the master makes the server only to find out what is to be served.
  const io = new Server(server, nodeCluster.isWorker ? { adapter: createAdapter() } : {});
  io.on('connection', (socket) => {
    socket.on('shout', (text) => io.emit('heard', text, process.pid));
    socket.on('echo', (text, reply) => reply(text, process.pid));
  });
  // A long poll is a request that takes its time, and would be waited for.
  c.on('draining', () => io.engine.close());
  cb(server);
});
