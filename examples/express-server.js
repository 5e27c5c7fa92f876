// npm install --no-save express && node examples/express-server.js
//
// An express app, 4 or 5, is handed over as it is, without `app.listen`.
'use strict';

const express = require('express');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const app = express();
app.get('/', (req, res) => {
  res.send('hello');
});

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen((cb) => cb(app));
