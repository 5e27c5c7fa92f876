// Workers that take a while to boot.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const BOOT_MS = 1500;
const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died');
c.listen((callback) => {
  if (cluster.isWorker) report('boots');
  setTimeout(() => callback(http.createServer()), cluster.isWorker ? BOOT_MS : 0);
});
