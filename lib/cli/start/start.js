// `cluster2 start`: runs a script in workers. The master is this very process, and runs none of the application.
//
// A script that is a cluster master itself becomes this process, as if `node app.js` had been typed. In either case no
// process is put in between: signals, exit status and pid are the cluster's own.
'use strict';

const path = require('node:path');

const { Failure, FAILED, MISUSED } = require('../failure');
const { say } = require('../../shared/stderr');

// What ends the command with the status for arguments that are not understood.
const MISTAKES = ['ERR_CLUSTER2_INVALID_OPTION', 'ERR_CLUSTER2_EXEC'];

async function start({ operands }) {
  const { file, flags, notes, options, own, source } = await read(operands);
  for (const note of notes) say(`cluster2: ${note}`);
  if (own) return runAsItIs(file, options, own);
  return run(options, { ...flags, source });
}

/**
 * What `start` would run, for `cluster2 unit`: `{file, isMaster, notes, options, parsed}`. `isMaster` says that the
 * script needs no master of ours; `parsed` are the options that count. Throws a Failure as `start` does.
 */
async function understood(operands) {
  const { file, notes, options, own } = await read(operands);
  const { load } = require('../../shared/native');
  const { encode } = require('../../shared/options-json');
  // Refused, or warned of, as at a start.
  expected(() => new (require('../../cluster'))(options));
  return { file, isMaster: own !== undefined, notes, options, parsed: load().parseOptions(encode(options)).options };
}

module.exports = { start, understood };

// The command line together with the configuration, and the script that they mean.
async function read(operands) {
  const { readCommand, merged } = require('./options');
  const flags = readCommand(operands);
  const config = await require('./config').readConfig(flags);
  const { options, notes, source } = merged(flags, config);
  const { cwd, exec } = options;
  const file = expected(() => require('../../master/script').fileOf(exec, cwd ? path.resolve(cwd) : null));
  const own = exec && require('./own-master').masterIn(file);
  return { file, flags, notes, options, own, source };
}

// Never resolves: the cluster ends the process.
function run(options, { isJson, isQuiet, source }) {
  const Cluster = require('../../cluster');
  const began = performance.now();
  // What is unknown is told by `new Cluster` as a warning of the process.
  const cluster = expected(() => new Cluster(options));
  process.once('uncaughtException', (error) => {
    say(`cluster2: ${textOf(error)}`);
    process.exit(MISTAKES.includes(error?.code) ? MISUSED : FAILED);
  });
  cluster.listen(undefined, () => announcer.started());
  // Loaded while the workers start; no event of theirs comes before this turn is over.
  const { Announcer } = require('./announcer');
  const announcer = new Announcer(cluster, options, { began, isJson, isQuiet, source });
  announcer.begin();
  return new Promise(() => {});
}

function runAsItIs(file, options, { what, where }) {
  const name = options.exec;
  if (options.nodeArgs?.length > 0) {
    const args = [options.nodeArgs].flat().join(' ');
    throw new Failure(MISUSED, `${name} is a cluster master itself (${what} in ${where}), so there are no workers of ` +
      `ours for --node-args: run it by \`node ${args} ${name}\``);
  }
  const unused = Object.keys(options).filter((option) => !['exec', 'args', 'cwd', 'env'].includes(option));
  const rest = unused.length === 0 ? '' : `; without effect: ${unused.join(', ')}`;
  say(`cluster2: ${name} is a cluster master itself (${what} in ${where}): it runs as it is${rest}`);
  for (const [variable, value] of Object.entries(options.env ?? {})) {
    if (value === null) delete process.env[variable];
    else process.env[variable] = value;
  }
  if (options.cwd) process.chdir(options.cwd);
  const { args = [] } = options;
  process.argv = [process.argv[0], file, ...typeof args === 'string' ? args.split(/\s+/).filter(Boolean) : args];
  // Out of this promise: what the script throws is its own uncaught exception.
  setImmediate(() => require('../../shared/node-internals').runMain());
  return process.exitCode;
}

// Mistakes of the options end the command as mistakes of its arguments do.
function expected(call) {
  try {
    return call();
  } catch (error) {
    if (MISTAKES.includes(error.code)) throw new Failure(MISUSED, error.message);
    throw error;
  }
}

function textOf(error) {
  return String(error?.code).startsWith('ERR_CLUSTER2_') ? error.message : error?.stack ?? error;
}
