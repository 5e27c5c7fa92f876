// The command line: finds the command among the arguments, runs it, and turns what came of it into an exit status.
//
// bin/cluster2.js calls `main` once. Nothing of the addon is loaded here, nor anything that a command does not need, so
// that a script may call it often; `start` becomes the application's own process.
'use strict';

const { parse } = require('./arguments');
const { Failure, DONE, FAILED } = require('./failure');
const { print } = require('./stdout');
const { usage } = require('./usage');
const { say } = require('../shared/stderr');

// Each command's own file, loaded when it is asked for.
const HOMES = {
  start: './start/start',
  unit: './start/unit',
  status: './status',
  top: './top',
  stop: './stop',
  shutdown: './stop',
  reload: './orders',
  scale: './orders',
  recycle: './orders',
  logs: './logs',
  enable: './orders',
  disable: './orders',
};

async function main(args) {
  try {
    process.exitCode = await run(args);
  } catch (error) {
    // An error with a code of ours says all that there is to say.
    const isOurs = error instanceof Failure || String(error?.code).startsWith('ERR_CLUSTER2_');
    say(`cluster2: ${isOurs ? error.message : error.stack}`);
    process.exitCode = error instanceof Failure ? error.status : FAILED;
  }
}

async function run(args) {
  const asked = parse(args);
  // What a script does about its output is its own affair.
  if (asked.command !== 'start') process.stdout.on('error', cannotSay);
  if (asked.version || asked.help) {
    print(asked.version ? require('../../package.json').version : usage(asked.command));
    return DONE;
  }
  const command = require(HOMES[asked.command])[asked.command];
  return await command(asked) ?? DONE;
}

// Whoever reads may have seen enough (`| head`). Anything else, such as a full disk, is a failure.
function cannotSay(error) {
  if (error.code === 'EPIPE') process.exit();
  say(`cluster2: cannot write to stdout: ${error.message}`);
  process.exit(FAILED);
}

module.exports = { main };
