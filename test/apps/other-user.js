// A cluster whose workers are to run as the user and group that the two arguments say, by `cluster.setupPrimary`; `-`
// says nothing.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [uid, gid] = process.argv.slice(2).map((word) => (/^\d+$/.test(word) ? Number(word) : word));
const user = Object.fromEntries(Object.entries({ uid, gid }).filter(([, id]) => id !== '-'));

if (cluster.isPrimary) cluster.setupPrimary(user);
if (cluster.isWorker) report('user', process.getuid(), process.getgid(), process.getgroups());
const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning', 'heartbeat');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(http.createServer((request, response) => response.end('hello'))));
