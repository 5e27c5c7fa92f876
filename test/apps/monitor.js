// A cluster with a monitor and, of the kind that the argument names, an app of its own for the monitor's port.
// SIGUSR2 blocks the master's loop for $BLOCK_MS.
'use strict';

const http = require('node:http');
const net = require('node:net');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const KEY_AND_CERTIFICATE = () => require('../support/certificate');

/** The monitor app's own pages; what it doesn't have is 404. */
function answer(request, response) {
  const { method, url, headers } = request;
  report('asked', method, url);
  const send = (status, body) => { response.statusCode = status; response.end(body); };
  const pages = {
    '/own': () => send(200, `own ${method} from ${request.socket.remoteAddress} for ${headers.host}`),
    '/': () => (process.env.OWN_HOME ? send(200, 'own home') : send(404, 'theirs')),
    '/forbidden': () => send(403, 'forbidden'),
    '/late': () => {},
    '/throws': () => { throw new Error('for the test'); },
    '/rejects': () => Promise.reject(new Error('for the test')),
    '/half': () => { response.write('half'); setImmediate(() => response.destroy()); },
    '/echo': () => request.pipe(response),
    '/stream': () => {
      response.write('first');
      response.on('close', () => report('stream closed'));
    },
  };
  return (pages[url.split('?')[0]] ?? (() => send(404, 'theirs')))();
}

const kinds = {
  none: () => undefined,
  function: () => answer,
  http: () => http.createServer(answer),
  https: () => require('node:https').createServer(KEY_AND_CERTIFICATE(), answer),
  http2: () => require('node:http2').createServer(answer),
  express: () => require('express')().use((request, response) => answer(request, response)),
  koa: () => {
    const Koa = require('koa');
    return new Koa().use((context) => {
      context.respond = false;
      return answer(context.req, context.res);
    });
  },
  fastify: () => {
    const app = require('fastify')();
    app.get('/own', ({ method, raw, headers }) => `own ${method} from ${raw.socket.remoteAddress} for ${headers.host}`);
    return app;
  },
  raw: () => net.createServer(),
  nonsense: () => 'nonsense',
};

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.componentStatus().then((status) => {
  status.register('load', (params) => Number(params ?? 1));
  status.register('broken', () => 1, () => { throw new Error('for the test'); });
});
process.on('SIGUSR2', () => {
  report('blocked');
  const end = Date.now() + Number(process.env.BLOCK_MS);
  while (Date.now() < end);
});
const app = http.createServer((request, response) => response.end('app'));
c.listen((callback) => callback(app, kinds[process.argv[2] ?? 'none']()), () => report('addresses', c.addresses()));
