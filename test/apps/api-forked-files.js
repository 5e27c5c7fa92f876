// Looks for the pid files at the moment of each `forked`.
'use strict';

const fs = require('node:fs');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

const c = new Cluster(options);
c.on('forked', (pid) => {
  const names = fs.readdirSync('pids');
  const has = (name) => names.includes(name);
  report('files', { hasWorker: has(`worker.${pid}.pid`), hasMaster: has(`master.${process.pid}.pid`) });
});
c.listen((callback) => callback(http.createServer()));
