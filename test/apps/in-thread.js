// A Cluster in a thread, which the main thread of this script starts.
'use strict';

const http = require('node:http');
const { isMainThread, Worker } = require('node:worker_threads');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

if (isMainThread) {
  new Worker(__filename).on('exit', () => report('ended'));
} else {
  try {
    new Cluster(options).listen((callback) => callback(http.createServer((request, response) => response.end('hello'))),
      () => report('serves'));
  } catch ({ code }) {
    report('refused', code);
  }
}
