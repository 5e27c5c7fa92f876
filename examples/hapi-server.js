// npm install --no-save @hapi/hapi && node examples/hapi-server.js
//
// A hapi server is made with `initialize` in place of `start`, and its listener is handed over.
'use strict';

const Hapi = require('@hapi/hapi');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const server = Hapi.server();
server.route({ method: 'GET', path: '/', handler: () => 'hello' });

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
// onPreStop and onPostStop run after the worker's last answer, and are awaited.
c.cleanup(() => server.stop());
c.listen(async (cb) => {
  await server.initialize();
  cb(server.listener);
});
