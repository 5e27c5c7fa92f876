// A cluster in which each worker starts a program of its own, `sleep`, that outlives it. The master opens many
// descriptors first, so that what its workers inherit has high numbers in it.
'use strict';

const { spawn } = require('node:child_process');
const cluster = require('node:cluster');
const fs = require('node:fs');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

if (cluster.isWorker) {
  report('started', spawn('sleep', ['600'], { stdio: 'ignore' }).pid);
} else {
  for (let i = 0; i < 60; i += 1) fs.openSync('/dev/zero');
  cluster.on('disconnect', (worker) => report('disconnected', worker.process.pid));
}
const c = new Cluster(options);
reportEvents(c, 'died');
c.listen((callback) => callback([]));
