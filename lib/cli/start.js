// `cluster2 start`: this process becomes the application's, as if `node app.js` had been typed.
//
// No process is put in between, so signals, exit status and pid are the application's own, and nothing stays behind.
'use strict';

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');

const { misused } = require('./arguments');
const { Failure, MISUSED } = require('./failure');

// What Node itself tries after a name.
const ENDINGS = ['', '.js', '.json', '.node'];

async function start({ operands: [script, ...args] }) {
  if (script === undefined) throw misused('start needs a script', 'start');
  if (script.startsWith('-')) throw misused(`start has no option '${script}'`, 'start');
  const file = path.resolve(script);
  if (!ENDINGS.some((ending) => fs.existsSync(file + ending))) {
    throw new Failure(MISUSED, `there is no script ${file}`);
  }
  process.argv = [process.argv[0], file, ...args];
  // Out of this promise: what the script throws is its own uncaught exception.
  setImmediate(() => Module.runMain());
  return process.exitCode;
}

module.exports = { start };
