// The application of every contestant: an answer of fixed length whose last byte tells which worker gave it.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');

function createApp() {
  // In the master, where this package runs it too, nobody asks it anything.
  const mark = String.fromCharCode(48 + (cluster.worker?.id ?? 0) % 64);
  return http.createServer((req, res) => {
    res.end(`hello world ${mark}`);
  });
}

module.exports = { createApp };
