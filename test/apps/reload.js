// A cluster whose releases are good or bad: what workers do is in $RELEASE, or in the file `release` of their
// directory.
//
// `/` answers the release; `/do?[method,argument]` has the master call c[method](argument) and report how that
// ended; `/here?method` calls it in the worker; `/exit?code` ends the worker; `/set?NAME=value` sets a variable
// of the master.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const release = cluster.isWorker ? process.env.RELEASE ?? readRelease() : 'master';
const outcome = (error) => ({ ...error, code: error.code, message: error.message });

function readRelease() {
  try {
    return fs.readFileSync('release', 'utf8').trim();
  } catch {
    return 'none';
  }
}

if (release === 'throws') throw new Error('this release throws');

const deeds = {
  '': (response) => response.end(release),
  facts: (response) => response.end(JSON.stringify({
    pid: process.pid,
    release,
    cwd: process.cwd(),
    script: process.argv[1],
    extra: process.env.EXTRA ?? null,
  })),
  do: (response, call) => {
    process.send({ do: JSON.parse(decodeURIComponent(call)) });
    response.end('asked');
  },
  set: (response, variable) => {
    process.send({ set: variable.split('=') });
    response.end('asked');
  },
  exit: (response, code) => process.exit(Number(code)),
  here: (response, method) => c[method](2).then(
    () => response.end('done'),
    (error) => response.end(JSON.stringify(outcome(error))),
  ),
};

const server = http.createServer((request, response) => {
  const [, name, argument] = /^\/(\w*)\??(.*)$/.exec(request.url);
  deeds[name](response, argument);
});

const later = {
  'exits late': () => setTimeout(() => process.exit(7), 1000),
  'exits late in slot 0': () => { if (process.env.CLUSTER2_INSTANCE === '0') later['exits late'](); },
  'throws late': () => setTimeout(() => { throw new Error('this release throws late'); }, 1000),
};

cluster.on('message', (worker, message) => {
  if (message.set) process.env[message.set[0]] = message.set[1];
  if (!message.do) return;
  const [method, argument] = message.do;
  c[method](argument).then((result) => report('done', result), (error) => report('failed', outcome(error)));
});

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'spare', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.reload().catch((error) => report('too early', error.code));
if (release === 'exits') process.exit(0);
c.listen((callback) => {
  // As one that waits for something that does not come.
  if (release === 'never listens') setInterval(() => {}, 1000);
  else callback(server);
}, () => later[release]?.());
