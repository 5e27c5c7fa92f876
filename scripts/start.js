'use strict';

// `npm start`: makes the checkout ready, then becomes examples/http-server.js. It runs the example in this
// very process, so that the process which npm signals, and which Ctrl-C reaches, is the master itself; the
// `exec` in package.json takes the shell out from between them, which would die of the signal and let npm
// return too early.

const Module = require('node:module');
const path = require('node:path');

const { install, build } = require('./setup.js');
const { root, say } = require('./tools.js');

const EXAMPLE = 'examples/http-server.js';

async function main() {
  // The example needs no package, and cargo alone can build: without a registry it runs all the same.
  if (!await install()) say('Going on without dev dependencies.');
  if (!await build()) {
    process.exitCode = 1;
    return;
  }
  say(`Starting ${EXAMPLE}; Ctrl-C shuts it down gracefully.`);
  process.argv[1] = path.join(root, EXAMPLE);
  Module.runMain();
}

main();
