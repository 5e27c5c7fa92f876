// node examples/https-server.js
//
// https with a certificate for localhost that is good for nothing but trying; see it with: curl -k https://localhost:3000/
'use strict';

const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const keys = path.join(__dirname, 'keys');
const server = https.createServer({
  key: fs.readFileSync(path.join(keys, 'localhost.key')),
  cert: fs.readFileSync(path.join(keys, 'localhost.crt')),
}, (req, res) => {
  res.end('hello\n');
});

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen((cb) => cb(server));
