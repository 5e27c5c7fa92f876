// A script of cluster2's own time, in the form that the first argument names.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

process.on('warning', ({ code, message }) => report('process warning', code, message));

const server = http.createServer((request, response) => response.end('app'));
const monitor = http.createServer((request, response) => {
  response.statusCode = request.url === '/own' ? 200 : 404;
  response.end('own');
});
const plain = (request, response) => {
  response.statusCode = request.url === '/own' ? 200 : 404;
  response.end('plain');
};
const createApp = (callback) => callback(server);
const told = (apps, monApp) => report('callback', [apps].flat().length, typeof monApp);

const forms = {
  'monitor: server': () => new Cluster({ ...options, monitor }).listen(createApp, told),
  'monitor: function': () => new Cluster({ ...options, monitor: plain }).listen(createApp, told),
  'monitor, and another': () => {
    return new Cluster({ ...options, monitor: plain }).listen((callback) => callback(server, monitor), told);
  },
  'cluster: undefined': () => new Cluster({ ...options, cluster: undefined }).listen(createApp, told),
  'methods taken off': () => {
    const c = new Cluster(options);
    const { listen, addresses, stop, shutdown, reload, scale, metrics, handle, componentStatus, disable, enable } = c;
    report('types', [listen, addresses, stop, reload, metrics, handle, disable, enable].every(Boolean));
    metrics(() => '');
    handle('nothing', () => {});
    componentStatus();
    listen(createApp, async (...given) => {
      told(...given);
      report('addresses', addresses());
      if (cluster.isWorker) return;
      c.once('listening', async () => {
        await scale(1);
        shutdown();
      });
    });
    return c;
  },
  '0.2': () => Cluster.listen(options, createApp, told),
};

const c = forms[process.argv[2]]();
reportEvents(c, 'forked', 'listening', 'died');
c.on('listening', () => report('addresses', c.addresses()));
