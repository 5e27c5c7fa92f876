// node examples/http-server.js
//
// A plain http server in one process per processor, with the monitor beside it. PORT and MON_PORT choose other ports.
'use strict';

const nodeCluster = require('node:cluster');
const http = require('node:http');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const server = http.createServer((req, res) => {
  res.end(`hello from worker ${process.pid}\n`);
});

const c = new Cluster({
  port: process.env.PORT ?? 3000,
  monPort: process.env.MON_PORT ?? 3001,
});

// These three are emitted in the master only.
c.on('forked', (pid) => console.log(`worker ${pid} forked`));
c.on('listening', (pid) => console.log(`worker ${pid} listening`));
c.on('died', (pid, { reason }) => console.log(`worker ${pid} died: ${reason}`));

c.listen((cb) => cb(server), () => {
  // The callback runs in the workers as well.
  if (!nodeCluster.isPrimary) return;
  const { app: [{ port }], monitor } = c.addresses();
  console.log(`application  http://localhost:${port}/`);
  if (monitor) console.log(`monitor      http://localhost:${monitor.port}/`);
  console.log('to stop      press Ctrl-C, or run: node examples/shutdown.js');
});
