// How programs under test tell what happens: one JSON line per event on stdout.
//
// Each is written at once, so that a process that is killed the moment after has still said it.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');

/** Reports an event; `reportEvents` reports those of an emitter as they come. */
function report(event, ...args) {
  const line = { event, args, pid: process.pid, role: cluster.isWorker ? 'worker' : 'master', at: Date.now() };
  write(`${JSON.stringify(line)}\n`);
}

function reportEvents(emitter, ...names) {
  for (const name of names) emitter.on(name, (...args) => report(name, ...args));
}

// The pipe may be set to non-blocking by any process that shares it.
function write(text) {
  for (;;) {
    try {
      fs.writeSync(1, text);
      return;
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
    }
  }
}

module.exports = { report, reportEvents };
