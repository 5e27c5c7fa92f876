// A cluster that balancers ask how it is: an app of the kind that the first argument names.
//
// `/check?<status>` answers with that status after $CHECK_DELAY ms and is reported; `/block?<ms>` blocks the loop;
// `/do?<method>` calls that method of the cluster in the worker; everything else is answered `app`. Messages of
// the test reach the master by SIGUSR2: it then does what $ON_SIGNAL says. What blocks does so for its time or, where
// $BLOCK_WHILE names a file, as long as that is there.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');

const certificate = require('../support/certificate');
const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [kind = 'http'] = process.argv.slice(2);
const { BLOCK_WHILE, CHECK_DELAY, ON_SIGNAL, SIZE_OF_BODY, VALIDATOR } = process.env;

// The application in words that every framework can say: a path's answer, perhaps later.
async function respond(path) {
  const [name, argument] = path.slice(1).split('?');
  if (name === 'check') {
    report('check', process.pid);
    if (CHECK_DELAY) await new Promise((resolve) => { setTimeout(resolve, Number(CHECK_DELAY)); });
    const status = Number(argument ?? 200);
    return { status, body: status === 204 ? '' : 'x'.repeat(Number(SIZE_OF_BODY ?? 2)) };
  }
  if (name === 'pid') return { status: 200, body: String(process.pid) };
  if (name === 'block') {
    report('blocked', process.pid);
    block(Number(argument));
  }
  if (name === 'do') await c[argument]('by the application');
  if (name === 'send') process.send({ command: argument });
  return { status: 200, body: 'app' };
}

const answer = (request, response) => respond(request.url).then(({ status, body }) => {
  response.writeHead(status, { 'x-app': 'yes', ...(body && { 'content-length': body.length }) });
  response.end(body);
});

const kinds = {
  http: () => http.createServer(answer),
  https: () => https.createServer(certificate, answer),
  http2: () => http2.createServer(answer),
  http2s: () => http2.createSecureServer({ ...certificate, allowHTTP1: true }, answer),
  'http2 streams': () => http2.createServer().on('stream', async (stream, headers) => {
    const { status, body } = await respond(headers[':path']);
    stream.respond({ ':status': status, 'x-app': 'yes' });
    stream.end(body);
  }),
  express4: () => expressApp(require('express4')),
  express5: () => expressApp(require('express')),
  koa: () => {
    const Koa = require('koa');
    return new Koa().use(async (context) => {
      const { status, body } = await respond(context.url);
      Object.assign(context, { status, body });
      context.set('x-app', 'yes');
    });
  },
  fastify: () => require('fastify')().all('/*', async (request, reply) => {
    const { status, body } = await respond(request.url);
    return reply.code(status).header('x-app', 'yes').send(body);
  }),
  list: () => [{ app: http.createServer(answer), port: 0 }, { app: http.createServer(answer), port: 0 }],
};

const validators = {
  accept: (status, headers, body) => {
    report('validated', { status, hasHeaders: headers['x-app'] === 'yes', length: body.length });
    return true;
  },
  refuse: () => undefined,
  throw: () => { throw new Error('no'); },
  later: async () => false,
};

const chosen = VALIDATOR ? { validator: validators[VALIDATOR] } : {};
const ecv = options.ecv === false ? false : { ...options.ecv, ...chosen };
const c = new Cluster({ ...options, ecv });
reportEvents(c, 'forked', 'listening', 'died', 'warning', 'SIGTERM');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(kinds[kind]()), () => report('callback'));

const deeds = {
  block: () => {
    report('blocked');
    block(2500);
  },
  disable: () => c.disable('an experiment').then(() => report('done', 'disable')),
  enable: () => c.enable().then(() => report('done', 'enable')),
  shutdown: () => c.shutdown(),
};
// Whatever the master says, but for sockets and connections that it hands over.
if (cluster.isWorker && process.env.MESSAGES) {
  process.on('message', (message) => report('message', message));
  const isHandedOver = ({ act, msg }) => ['newconn', 'watch'].includes(msg?.act ?? act);
  process.on('internalMessage', (message) => { if (!isHandedOver(message)) report('message', message); });
}
let turn = 0;
if (!cluster.isWorker && ON_SIGNAL) {
  process.on('SIGUSR2', () => deeds[ON_SIGNAL.split(',')[turn++]]());
}
if (!cluster.isWorker && process.env.METRICS) {
  const orders = '# HELP orders_total Orders taken.\n# TYPE orders_total counter\norders_total 7\n';
  c.metrics(() => `${orders}# TYPE cluster2_live gauge\ncluster2_live 5\n`);
  c.metrics(async () => { throw new Error('no figures'); });
}

function expressApp(express) {
  return express().use((request, response) => answer(request, response));
}

// Stands still without using a processor, which tests on small machines need for their clients.
function block(ms) {
  if (BLOCK_WHILE) while (fs.existsSync(BLOCK_WHILE)) stand(20);
  else if (process.env.SPIN) for (const until = Date.now() + ms; Date.now() < until;);
  else stand(ms);
}

function stand(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
