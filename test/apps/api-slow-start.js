// Its first worker never gets to listen, and blocks besides; the others do.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died');
c.listen((callback) => {
  report('createApp');
  while (cluster.isWorker && cluster.worker.id === 1);
  callback(http.createServer());
});
