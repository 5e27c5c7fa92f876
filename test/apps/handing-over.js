// Hands its app over, or fails to, as $SHAPE says. GET /reload?<shape> has the master reload with another $SHAPE.
'use strict';

const cluster = require('node:cluster');
const dgram = require('node:dgram');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const app = (request, response) => {
  const [path, shape] = request.url.split('?');
  if (path === '/reload') process.send({ reload: shape });
  response.end(String(process.pid));
};
const later = (call) => setTimeout(call, 50);

// As their packages have them, as far as one can tell them by.
class Hono { fetch() {} request() {} }
class ApolloServer { start() {} executeOperation() {} }
const hapi = { listener: http.createServer(), start() {}, initialize() {}, route() {} };
const next = { prepare() {}, getRequestHandler() {} };
const h3 = { use() {}, handler() {} };
const newH3 = { ...h3, fetch() {} };

const shapes = {
  'returns it': () => app,
  'returns a server': () => http.createServer(app),
  'returns a list': () => [{ app, port: options.port }],
  'async, returns it': async () => app,
  'async, with a callback that it does not use': async (callback) => { await null; return callback && app; },
  'takes a callback and returns it': (callback) => callback && app,
  'returns a server that is ready later': (callback) => {
    const server = http.createServer((request, response) => response.end('too early'));
    later(() => {
      server.removeAllListeners('request');
      server.on('request', app);
      callback(server);
    });
    return server;
  },
  'returns something else and calls back later': (callback) => later(() => callback(app)),
  'async, resolves with something else and calls back later': async (callback) => {
    later(() => callback(app));
    return { connected: true };
  },
  'waits for the master': async (callback) => {
    if (cluster.isWorker) await c.delegate('wait');
    if (cluster.isWorker) await c.enable();
    callback(app);
  },
  'waits for a message': (callback) => {
    if (!cluster.isWorker) return callback(app);
    cluster.worker.once('message', () => callback(app));
    return process.send({ hello: true });
  },
  'waits until another server listens': async (callback) => {
    if (cluster.isWorker) await once(net.createServer().listen({ port: 0, host: '127.0.0.1' }), 'listening');
    callback(app);
  },
  'waits until a UDP socket is bound': async (callback) => {
    if (cluster.isWorker) await once(dgram.createSocket('udp4').bind(0, '127.0.0.1'), 'listening');
    callback(app);
  },
  'listens by itself, and hands nothing over': async (callback) => {
    if (cluster.isWorker) await once(http.createServer(app).listen(options.port, '127.0.0.1'), 'listening');
    callback([]);
  },
  'listens by itself when the cluster ends': async (callback) => {
    const letGo = () => Object.values(cluster.workers).forEach((worker) => worker.send('go'));
    if (cluster.isMaster) c.once('SIGTERM', letGo);
    else {
      report('waits');
      await once(cluster.worker, 'message');
      await once(http.createServer(app).listen(options.port, '127.0.0.1'), 'listening');
    }
    callback([]);
  },
  forgets: () => {},
  'forgets, with a callback': (callback) => { if (!callback) throw new Error('no callback'); },
  'forgets, async': async () => { await null; },
  'forgets in workers': (callback) => { if (cluster.isMaster) callback(app); },
  'asks the master and forgets, in workers': async (callback) => {
    if (cluster.isMaster) callback(app);
    else report('answered', await c.delegate('wait'));
  },
  'waits for a component': async (callback) => {
    if (cluster.isWorker) await (await c.componentStatus()).getStatus('worker');
    callback(app);
  },
  'is busy and forgets': () => setInterval(() => {}, 1000),
  hono: (callback) => callback(new Hono()),
  'returns hono': () => new Hono(),
  hapi: (callback) => callback(hapi),
  apollo: (callback) => callback(new ApolloServer()),
  next: (callback) => callback(next),
  h3: (callback) => callback(h3),
  'h3 2': (callback) => callback(newH3),
  promise: (callback) => callback(Promise.resolve(app)),
  plain: (callback) => callback({ some: 'thing' }),
  text: (callback) => callback('app'),
  bigint: (callback) => callback(1n),
  'without ports': (callback) => callback([app, http.createServer(app)]),
  'twice in a list': (callback) => {
    const server = http.createServer(app);
    callback([{ app: server, port: options.port }, { app: server, port: options.port + 1 }]);
  },
  'in a list': (callback) => callback([{ app, port: options.port }, { app: new Hono(), port: options.port }]),
};

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.handle('wait', () => new Promise((resolve) => { setTimeout(resolve, 300); }));
cluster.on('message', (worker, { hello, reload: SHAPE }) => {
  if (hello) later(() => worker.send('go on'));
  if (SHAPE) {
    c.reload({ env: { SHAPE: decodeURIComponent(SHAPE) } })
      .catch(({ code, message }) => report('reload failed', code, message));
  }
});
// While nothing but its workers is there, a master that gives up must end by itself.
c.listen(shapes[process.env.SHAPE], () => report('callback'));
