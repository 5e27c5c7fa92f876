// npm install --no-save koa && node examples/koa-server.js
//
// A Koa app is handed over as it is, without `app.listen`.
'use strict';

const Koa = require('koa');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const app = new Koa();
app.use((ctx) => {
  ctx.body = 'hello';
});

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen((cb) => cb(app));
