// What faults share that are done inside a worker: asks for a deed by a request that some worker gets.
'use strict';

const http = require('node:http');

const PATIENCE_MS = 2000;

/**
 * Resolves with the pid of the worker that has promised to do it; undefined if none has. A request that nobody answers
 * is taken back, or it would hit worker after worker later.
 */
function askFor(target, deed, amount) {
  target.history.others += 1;
  return new Promise((resolve) => {
    const where = { host: '127.0.0.1', port: target.port, path: `/do?${deed}=${amount}`, agent: false };
    const asked = http.get({ ...where, signal: AbortSignal.timeout(PATIENCE_MS) }, (response) => {
      response.resume().on('end', () => resolve(Number(response.headers['x-pid']))).on('error', () => {});
    });
    // Other faults hit this one, too.
    asked.on('error', () => {}).on('close', () => resolve(undefined));
  });
}

module.exports = { askFor };
