// node examples/graceful.js
//
// What a graceful shutdown looks like from inside: ask for http://localhost:3000/slow, then press Ctrl-C or run
// node examples/shutdown.js; the slow answer still comes, and a new connection is refused.
'use strict';

const http = require('node:http');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const SLOW_MS = 5000;

let serving = true;
const server = http.createServer((req, res) => {
  // `Connection: close` is set for you on answers of a worker that drains; an application may say so too.
  if (!serving) res.setHeader('connection', 'close');
  setTimeout(() => res.end('hello\n'), req.url === '/slow' ? SLOW_MS : 0);
});
server.on('close', () => {
  serving = false;
});

const c = new Cluster({
  port: process.env.PORT ?? 3000,
  monPort: process.env.MON_PORT ?? 3001,
  // How long the answers under way may take, in ms.
  shutdownTimeout: 2 * SLOW_MS,
});

c.on('forked', (pid) => console.log(`Worker ${pid} forked`));
c.on('died', (pid) => console.log(`Worker ${pid} died`));
// In the master and in each worker; `event` says whose it is, where the signal has one.
c.on('SIGTERM', (event) => console.log(`Got SIGTERM - shutting down (${event?.type} ${event?.pid})`));
c.on('SIGINT', (event) => console.log(`Got SIGINT - shutting down (${event?.type ?? 'master'})`));
// In a worker, once it takes no new connection: the moment to say goodbye on WebSockets.
c.on('draining', () => console.log(`Worker ${process.pid} is draining`));

c.listen((cb) => cb(server));
