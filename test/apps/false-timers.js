// An application that has put false timers and a false clock in the place of Node's, as sinon and jest do: they stand
// still.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const timer = { ref: () => timer, unref: () => timer, hasRef: () => false, [Symbol.toPrimitive]: () => 1 };
const names = ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'];
for (const name of names) globalThis[name] = require('node:timers')[name] = () => timer;
Object.defineProperty(globalThis, 'performance', { value: { now: () => 0, timeOrigin: 0 } });

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning', 'draining');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(http.createServer((request, response) => response.end('hello'))), () => {
  report('callback');
});
