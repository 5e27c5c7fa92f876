// How workers are to be started: what `cluster.fork` would take from this process, read once when the master
// starts.
'use strict';

const errors = require('./errors');
const { addonFile } = require('./native');

const INSPECT = /--inspect(?:-brk|-port)?|--debug-port/;

function launch() {
  const script = process.argv[1];
  if (!script) throw errors.createError('ERR_CLUSTER2_NO_SCRIPT');
  return {
    execPath: process.execPath,
    execArgv: process.execArgv,
    script,
    args: process.argv.slice(2),
    env: { ...process.env, CLUSTER2_ADDON: addonFile() },
    inspectPort: wantsInspector() ? process.debugPort : null,
  };
}

function wantsInspector() {
  return process.execArgv.some((flag) => INSPECT.test(flag)) || INSPECT.test(process.env.NODE_OPTIONS ?? '');
}

module.exports = { launch };
