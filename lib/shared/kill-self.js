// How `stop()` ends the process that calls it: by SIGKILL, as cluster2 did.
//
// lib/master/master.js and lib/single.js call it last. Owns nothing.
'use strict';

const { constants: { signals } } = require('node:os');

const { exitUnheard } = require('./node-internals');

/** Ends this process at once; no listener for 'exit' is called. */
function killSelf() {
  process.kill(process.pid, 'SIGKILL');
  // The kernel spares process 1 of a container. This is the status by which shells know a killed process.
  exitUnheard(128 + signals.SIGKILL);
}

module.exports = { killSelf };
