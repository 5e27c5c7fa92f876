// npm install --no-save next react react-dom && npx next build examples/next && node examples/next/server.js
//
// A Next application, built beforehand, behind a server of its own.
'use strict';

const nodeCluster = require('node:cluster');
const http = require('node:http');

const next = require('next');

// In your own project: require('cluster2-rs')
const Cluster = require('../..');

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen(async (cb) => {
  const server = http.createServer();
  // The master serves nothing, so it need not load the application.
  if (nodeCluster.isPrimary) return cb(server);
  const app = next({ dev: false, dir: __dirname, httpServer: server });
  await app.prepare();
  server.on('request', app.getRequestHandler());
  return cb(server);
});
