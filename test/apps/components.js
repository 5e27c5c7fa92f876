// componentStatus in every process. GET /<method>?<JSON of arguments> on the app's port asks in a worker; on the port
// that the master reports as `control` it asks in the master.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'listening', 'died', 'forked');
c.on('component-status-initialized', (status) => {
  report('initialized', Object.keys(status));
  c.componentStatus().then((promised) => report('resolved', promised === status));
});

const levels = { level: 1 };

c.componentStatus().then((status) => {
  status.reducer('longest', (memo, element) => ({ value: Math.max(memo?.value ?? 0, String(element).length) }))
    .register('load', () => 2)
    .register('text', () => 'a', 'concat')
    .register('mean', (n) => Number(n), 'avg')
    .register('all', (params) => params ?? 'none', 'array')
    .register('one', async () => process.pid, 'first')
    .register('long', (params) => params, 'longest')
    .register('strange', () => 3, 'no-such-reducer')
    .register('nothing', () => undefined)
    .register('fails', () => { throw new Error('for the test'); })
    .register('level', () => levels.level, 'array', (params, value) => { levels.level = value; return value; });
  if (cluster.isMaster) {
    status.register('stuck', () => 5);
    return;
  }
  status.reducer('of-workers', (memo, element) => ({ value: `${memo?.value ?? ''}<${element}>` }));
  status.register('workers only', () => 1, 'of-workers');
  status.register('stuck', () => new Promise(() => {}));
  status.register('loaded', undefined, 'sum', undefined, { path: './components-loaded', args: [4, 5] });
  report('registered');
});

async function answer(request, response) {
  const { pathname, search } = new URL(request.url, 'http://x');
  const [name, options, value] = JSON.parse(decodeURIComponent(search.slice(1)) || '[]');
  const begun = performance.now();
  try {
    const status = await c.componentStatus();
    const result = await ask(status, pathname.slice(1), name, options, value);
    response.end(JSON.stringify({ pid: process.pid, result, ms: performance.now() - begun }));
  } catch ({ code, message }) {
    response.end(JSON.stringify({ pid: process.pid, code, message }));
  }
}

function ask(status, method, name, options, value) {
  if (method !== 'byCallback') return status[method](name, options, value);
  return new Promise((done) => { status.getStatus(name, { ...options, done }); });
}

if (cluster.isMaster) {
  const control = http.createServer(answer);
  control.listen(0, '127.0.0.1', () => report('control', control.address().port));
}
c.listen((cb) => cb(http.createServer(answer)), () => report('addresses', c.addresses()));
