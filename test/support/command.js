// The command `cluster2`, run as a shell would run it: from a directory, to its end, with all that it says.
'use strict';

const { execFile } = require('node:child_process');
const path = require('node:path');

const { PACKAGE } = require('./program');

const PATIENCE_MS = 30_000;

/** Resolves with `{code, stdout, stderr}`; `options` are those of execFile, and `home` another copy of the package. */
function command(cwd, args, { home = PACKAGE, ...options } = {}) {
  const node = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
  const all = [path.join(home, 'bin/cluster2.js'), ...args];
  return new Promise((resolve, reject) => {
    execFile(node, all, { cwd, timeout: PATIENCE_MS, ...options }, (error, stdout, stderr) => {
      // What is no exit status is a command that did not start, or that had to be ended.
      if (error && typeof error.code !== 'number') reject(error);
      else resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

module.exports = { command };
