// Reports what a script can read of the package: the class, the instance, `process.cluster`; then shuts down.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

if (cluster.isPrimary) {
  report('class', { version: Cluster.version, defaultOptions: Cluster.defaultOptions });
  const c = new Cluster({ ecv: { control: true } });
  report('options', c.options);
}

const c = new Cluster(options);
c.on('forked', (pid) => report('forked', pid));
c.on('listening', (pid) => {
  const { clustered, emitter, workers } = process.cluster;
  report('process.cluster', { clustered, isEmitter: emitter === c, pids: Object.keys(workers).map(Number), pid });
  c.shutdown();
});
// What was parsed counts.
c.options.noWorkers = 5;
const returned = c.listen((callback) => callback(http.createServer()));
report('listen', { returnsCluster: returned === c, hasProcessCluster: 'cluster' in process });
