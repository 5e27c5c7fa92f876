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
  report('files', { hasWorker: names.includes(`worker.${pid}.pid`), hasMaster: names.includes(`master.${process.pid}.pid`) });
});
c.listen((callback) => callback(http.createServer()));
