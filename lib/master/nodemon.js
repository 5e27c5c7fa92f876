// Whether nodemon has started this process: it restarts a script by SIGUSR2, which reloads the workers of a Cluster and
// leaves the master at the old version.
'use strict';

const fs = require('node:fs');

const ADVICE = 'nodemon restarts by SIGUSR2, which replaces the workers alone: the master keeps the code with which ' +
  'it was started, and nodemon waits for its end; start it as `nodemon --signal SIGTERM`';

/** Looks at the command line of the parent or, where there is no /proc, at the script of npm that runs. */
function isBelowNodemon() {
  try {
    return /\bnodemon\b/.test(fs.readFileSync(`/proc/${process.ppid}/cmdline`, 'latin1'));
  } catch {
    return /\bnodemon\b/.test(process.env.npm_lifecycle_script ?? '');
  }
}

module.exports = { ADVICE, isBelowNodemon };
