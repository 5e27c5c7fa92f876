// A master that gets one thread more, which writes its pid files, and none for its supervisor. It needs a user of its
// own, whose threads are counted together.
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

process.on('uncaughtException', (error) => {
  report('failed', error.code, error instanceof Cluster.Cluster2Error);
  process.exit(3);
});
new Cluster(options).listen((callback) => {
  const most = fs.readdirSync('/proc/self/task').length + 1;
  const { status } = spawnSync('prlimit', [`--nproc=${most}`, '--pid', String(process.pid)]);
  report('limited', status);
  callback(http.createServer());
});
