// Hands its apps over in the shape that the first argument names, or fails to.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const { refused } = require('../support/client');
const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [shape, ...ports] = process.argv.slice(2);
const [first, second, third] = process.env.TEXT ? ports : ports.map(Number);

const named = (name) => http.createServer((request, response) => response.end(name));
const shapes = {
  list: (callback) => callback([
    { app: named('one'), port: first },
    { app: named('two'), port: [second, third] },
    { app: named('no port') },
    { port: first },
  ]),
  monitor: (callback) => callback(named('app'), named('monitor')),
  later: (callback) => setImmediate(() => callback(named('later'))),
  async: async (callback) => {
    await null;
    callback(named('async'));
  },
  listening: (callback) => {
    const server = named('listening');
    server.listen({ port: 0, host: '127.0.0.1' }, () => callback(server));
  },
  holdsPort: (callback) => {
    if (cluster.isWorker) return callback(named('app'));
    return named('holder').listen({ port: options.port, host: '127.0.0.1' }, () => callback(named('app')));
  },
  throws: () => { throw new Error('createApp failed'); },
  rejects: async () => { throw new Error('createApp failed'); },
  throwsInWorker: (callback) => {
    if (cluster.isWorker) throw new Error('createApp failed');
    callback(named('app'));
  },
  exitsInWorker: (callback) => {
    if (cluster.isWorker) process.exit(7);
    callback(named('app'));
  },
  // Hands its app over in the second worker only once the cluster is shutting down.
  late: async (callback) => {
    if (cluster.isWorker && cluster.worker.id === 2) await refused(options.port);
    callback(named('late'));
  },
  idle: (callback) => callback(http.createServer(({ url }, response) => (url === '/never' ? 0 : response.end('idle')))),
  invalid: (callback) => callback({ not: 'an app' }),
};

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', ...(process.env.DEAF ? [] : ['warning']));
const { ON_ERROR } = process.env;
if (ON_ERROR === 'before') process.exitCode = 3;
if (ON_ERROR) {
  c.on('error', (error) => {
    report('error', error.code);
    if (ON_ERROR === 'in the listener') process.exitCode = 3;
  });
}
c.on('listening', () => report('addresses', c.addresses()));
const { REPORT_AFTER } = process.env;
if (REPORT_AFTER) c.once('forked', () => setTimeout(() => report('time'), Number(REPORT_AFTER)));
if (process.env.SHUTDOWN_ON_LISTENING) c.once('listening', () => c.shutdown());
c.listen(shapes[shape], (apps, monApp) => {
  report('callback', [apps].flat().map(({ port }) => port ?? null), typeof monApp);
});
