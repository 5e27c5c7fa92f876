// npm install --no-save fastify && node examples/fastify-server.js
//
// A Fastify app is handed over without `app.listen`; it is made ready, plugins included, before a worker listens.
'use strict';

const fastify = require('fastify');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const app = fastify();
app.get('/', async () => ({ hello: 'world' }));

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen((cb) => cb(app));
