// Workers that say more than the master's JavaScript takes; the argument names the scenario. The test asks a worker by
// HTTP to begin, or all but one to crash, and looks at the master from outside.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const net = require('node:net');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const BLOCKED_MS = 2500;
const HANDLES = 400;
const FLOOD_BYTES = 24 * 1024 * 1024;
// Both beyond what the master holds of a worker, and of a message.
const WARNINGS = 300;
const TOO_LONG = 129;
const MIB = 1024 * 1024;
const [, , scenario] = process.argv;
const c = new Cluster(options);

const inMaster = {
  // Blocks with the first handle, then counts them all.
  handles() {
    let count = 0;
    cluster.on('message', (worker, { n }, handle) => {
      if (n === undefined) return;
      if (count === 0) block();
      count += 1;
      handle.close();
      if (count === HANDLES) report('all handles');
    });
  },
  flood() {
    let bytes = 0;
    cluster.on('message', (worker, { text }) => {
      if (text === undefined) return;
      if (bytes === 0) block();
      bytes += text.length;
      if (bytes >= FLOOD_BYTES) report('all heard', bytes);
    });
  },
  // Blocks with the first warning, then counts them all.
  warnings() {
    let count = 0;
    c.on('warning', () => {
      if (count === 0) block();
      count += 1;
      if (count === WARNINGS) report('all heard');
    });
  },
  malformed: hearLast,
  'too long': hearLast,
  odd() {
    cluster.on('message', (worker, message, handle) => {
      if (message.started) return;
      report('odd', { isServer: handle instanceof net.Server, depth: depth(message.deep), text: message.text });
      handle?.close();
    });
  },
};

const inWorker = {
  handles() {
    const server = net.createServer().listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
      for (let n = 0; n < HANDLES; n += 1) process.send({ n }, server);
    });
  },
  flood() {
    const text = 'x'.repeat(64 * 1024);
    for (let bytes = 0; bytes < FLOOD_BYTES; bytes += text.length) process.send({ text });
  },
  // One after the other, so that they wait in the master and not here.
  warnings(left = WARNINGS) {
    if (left === 0) return;
    const warning = { cmd: 'NODE_CLUSTER2', act: 'warning', message: 'x'.repeat(MIB) };
    process.send(warning, () => inWorker.warnings(left - 1));
  },
  malformed() {
    for (let n = 0; n < 100; n += 1) process.send({ cmd: 'NODE_CLUSTER2', act: 'x'.repeat(MIB / 16) });
    process.send({ last: true });
  },
  'too long'() {
    process.send({ text: 'x'.repeat(TOO_LONG * MIB) });
    process.send({ last: true });
  },
  odd() {
    const server = net.createServer().listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
      process.send({ text: '\ud800' }, server);
      process.send({ deep: JSON.parse(`${'['.repeat(200)}${']'.repeat(200)}`) }, server);
      process.send({ text: 'later' });
      c.disable('x\ud800').then(() => report('disabled'));
    });
  },
};

reportEvents(c, 'forked', 'listening', 'died');
if (scenario !== 'warnings') reportEvents(c, 'warning');
if (cluster.isPrimary) inMaster[scenario]();
// Each worker has something to say at its start, so that its protocol stands behind words of the application.
else process.send({ started: true });
c.listen((callback) => callback(http.createServer((request, response) => {
  if (request.url === '/begin') inWorker[scenario]();
  if (request.url.startsWith('/crash/') && !request.url.endsWith(`/${process.pid}`)) process.abort();
  response.end(String(process.pid));
})), () => {
  if (cluster.isPrimary) report('port', c.addresses().app[0].port);
});

function hearLast() {
  cluster.on('message', (worker, { last }) => last && report('heard'));
}

function block() {
  report('blocked');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCKED_MS);
  report('free');
}

function depth(value) {
  return Array.isArray(value) ? 1 + (value.length > 0 ? depth(value[0]) : 0) : 0;
}
