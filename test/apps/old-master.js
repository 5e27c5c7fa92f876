// An old script's view of the cluster from the master: Node's `cluster` module, `process.cluster`, command
// messages. The argument says what the master does once both workers listen.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

if (process.argv[2] === 'advanced') cluster.setupPrimary({ serialization: 'advanced' });
const c = new Cluster(options);

const deeds = {
  look() {
    const { settings: { exec, args, execArgv }, isMaster, isPrimary, isWorker } = cluster;
    report('settings', { isOurs: exec === __filename, args, execArgv, isMaster, isPrimary, isWorker });
    const { clustered, emitter, workers } = process.cluster;
    const pids = Object.keys(workers).map(Number);
    report('process.cluster', { clustered, isEmitter: emitter === c, pids, same: pids.map((pid) => workers[pid].pid) });
    try {
      cluster.fork();
    } catch ({ code }) {
      report('refused', code);
    }
  },
  disconnect() {
    cluster.disconnect(() => report('disconnected', Object.keys(cluster.workers)));
  },
  command() {
    Object.values(cluster.workers)[0].send('command');
  },
};

let listening = 0;
c.on('listening', (pid) => {
  report('listening', pid);
  listening += 1;
  if (listening === 2) deeds[process.argv[2]]();
});
process.on('message', (message) => {
  if (message === 'command') process.send({ command: 'wave', from: process.pid, more: [1] });
  else report('message', message);
});
c.listen((cb) => cb(http.createServer()));
