// node examples/several-ports.js
//
// Two applications in each worker, the first of them on two ports. With PORT=4000 they are 4000, 4002 and 4003.
'use strict';

const http = require('node:http');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const first = Number(process.env.PORT ?? 3000);

const shop = http.createServer((req, res) => res.end('shop\n'));
const admin = http.createServer((req, res) => res.end('admin\n'));

const c = new Cluster({ monPort: process.env.MON_PORT ?? first + 1 });

// One 'listening' for each application of each worker.
c.on('listening', (pid) => {
  const ports = c.addresses().app.map(({ port }) => port);
  console.log(`worker ${pid} listening; ports of the cluster: ${ports.join(', ')}`);
});

c.listen((cb) => cb([
  { app: shop, port: [first, first + 2] },
  { app: admin, port: first + 3 },
]));
