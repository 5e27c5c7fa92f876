// What is left of cluster2 0.4's messages: heartbeats beside idle clients, a question without a time limit of its own,
// and the properties of `process` in master and workers.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'heartbeat');
c.on('listening', () => report('addresses', c.addresses()));
c.on('nobody-answers', () => report('asked'));
// An answer to nobody's question changes nothing.
c.on('forked', () => c.emit('answer', { much: 'too early' }));
c.on('SIGINT', look('SIGINT'));
c.on('draining', look('draining'));
c.componentStatus().then((status) => report('registers itself', status.register('mine', () => 1) === status));

const deeds = {
  ask: () => process.send({ type: 'delegate', delegate: 'nobody-answers', expect: 'answer', id: 7 }),
  leave: () => process.kill(process.pid, 'SIGINT'),
  uptime: () => {},
};

const server = http.createServer((request, response) => {
  deeds[request.url.slice(1)]?.();
  response.end(String(process.uptime()));
});
process.on('message', (message) => report('message', message));
c.listen((callback) => callback(server), look('begun'));

function look(when) {
  return () => report(when, {
    cluster: typeof process.cluster,
    heartbeat: process.heartbeat?.constructor.name,
    isEmitter: process.emitter === c,
  });
}

if (cluster.isMaster) {
  // The objects in `process.cluster.workers` are as much of a ChildProcess as old scripts use.
  c.on('listening', (pid) => {
    const child = process.cluster.workers[pid];
    child.once('exit', (code, signal) => report('exit', pid, code, signal, process.cluster.workers[pid] === undefined));
    report('child', [typeof child.send, typeof child.kill, child.pid === pid, child.connected]);
  });
}
