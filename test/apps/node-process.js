// What a worker sees of its own process; each worker reports it once. The argument `nested` makes it start programs
// of its own as well, `file` makes the master send the workers' output to a file.
'use strict';

const { execFile, spawn } = require('node:child_process');
const cluster = require('node:cluster');
const fs = require('node:fs');

const { report } = require('../support/report');
const { run } = require('./node-run');

const what = process.argv[2];

// Programs that are started from here go when whoever started them goes.
if (cluster.isPrimary && process.channel) process.once('disconnect', () => process.exit());

if (what === 'file' && !process.env.INTO_FILE) intoFile();
else run({ worker, master: () => cluster.on('online', () => report('online')) });

function worker() {
  report('process', {
    id: cluster.worker.id,
    isPrimary: cluster.isPrimary,
    env: Object.keys(process.env).filter((name) => /^(NODE_(UNIQUE|CHANNEL)|CLUSTER2_MASTER)/.test(name)),
    marked: process.env.MARKED_BY_TEST,
    argv: process.argv,
    execArgv: process.execArgv,
    execPath: process.execPath,
    cwd: process.cwd(),
    connected: process.connected,
    title: process.title,
    stdin: fs.fstatSync(0).rdev === fs.statSync('/dev/null').rdev,
    stdout: fs.fstatSync(1).mode.toString(8),
    umask: process.umask(),
    blockedSignals: statusOf('SigBlk'),
    ignoredSignals: statusOf('SigIgn'),
  });
  console.log(`log of ${cluster.worker.id}`);
  console.error(`error of ${cluster.worker.id}`);
  if (what === 'nested') nest();
}

// A program that a worker starts is a program like any other, and may have a cluster of its own.
function nest() {
  const look = 'console.log(JSON.stringify([require("node:cluster").isWorker, typeof process.send]))';
  execFile(process.execPath, ['-e', look], (error, stdout) => report('nested', error?.message ?? JSON.parse(stdout)));
  const inner = spawn(process.execPath, [__filename, 'inner'], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  inner.on('exit', (code, signal) => report('inner exit', code, signal));
}

function intoFile() {
  const file = fs.openSync('output.txt', 'a');
  const child = spawn(process.execPath, [__filename, 'file'], {
    stdio: ['ignore', file, file, 'ipc'],
    env: { ...process.env, INTO_FILE: 'yes' },
  });
  child.on('exit', () => report('child exit'));
}

function statusOf(field) {
  return new RegExp(`${field}:\\s+(\\w+)`).exec(fs.readFileSync('/proc/self/status', 'latin1'))[1];
}
