// A master that, from a first SIGUSR2 to a second, runs one child process of its own after the other and checks how
// each is said to have ended; then it reports how many were told wrongly and rightly.
'use strict';

const { spawn } = require('node:child_process');
const cluster = require('node:cluster');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const PAUSE_MS = 50;
let wrong = 0;
let right = 0;
let isOver = true;

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(http.createServer((request, response) => response.end('hello'))));

if (cluster.isPrimary) {
  process.on('SIGUSR2', () => {
    isOver = !isOver;
    if (!isOver) runChild();
  });
}

function runChild() {
  const expected = (wrong + right) % 2 ? 3 : 0;
  spawn('sh', ['-c', `exit ${expected}`], { stdio: 'ignore' }).on('exit', (code) => {
    if (code === expected) right += 1;
    else wrong += 1;
    report('child', code);
    if (isOver) report('children done', wrong, right);
    else setTimeout(runChild, PAUSE_MS);
  });
}
