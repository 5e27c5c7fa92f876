// `cluster2 stop` and `cluster2 shutdown`.
//
// Masters are asked over their control sockets. One that does not answer is ended as `stop()` and `shutdown()` of the
// package do it, by a signal to the process that holds its pid file; that takes the addon, which is loaded only then.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

const { DEFAULT_SECONDS } = require('./arguments');
const { Failure, FAILED } = require('./failure');
const { find, all } = require('./masters');
const { print } = require('./stdout');

// As long as `stop()` and `shutdown()` wait for an answer.
const FORCE_PATIENCE_MS = 2000;
// How long a process may take to end that has let go of its socket.
const LAST_MS = 1000;

async function stop(asked) {
  const within = asked.within ?? DEFAULT_SECONDS * 1000;
  return end(asked, false, async (master) => {
    await master.ask('stop', undefined, within);
    if (!await master.isGone(within)) throw new Failure(FAILED, `master ${master.pid} does not end`);
    await processGone(master.pid);
    print(`master ${master.pid}: stopped`);
  });
}

async function shutdown(asked) {
  const isPatient = asked.options.wait === true;
  const within = asked.within ?? (isPatient ? Infinity : DEFAULT_SECONDS * 1000);
  return end(asked, true, async (master) => {
    await closed(master, within);
    if (!isPatient) {
      print(`master ${master.pid}: shutting down, no new connection gets in`);
      return;
    }
    if (!await master.isGone(within)) throw new Failure(FAILED, `master ${master.pid} is still shutting down`);
    await processGone(master.pid);
    print(`master ${master.pid}: shut down`);
  });
}

// Until nobody new gets in; where balancers are given time to look elsewhere, it has to be asked again.
async function closed(master, within) {
  for (;;) {
    const answer = await master.ask('shutdown', undefined, within);
    if (answer?.againAfter === undefined) return;
    await after(answer.againAfter);
  }
}

async function end(asked, gracefully, deed) {
  const masters = await find({ ...asked, within: asked.within ?? FORCE_PATIENCE_MS });
  const mute = masters.filter(({ problem }) => problem?.status === FAILED);
  // The package's own functions end all masters of a directory.
  const isForce = mute.length > 0 && asked.pid === undefined;
  await all(isForce ? masters.filter((master) => !mute.includes(master)) : masters, deed);
  if (isForce) await force(asked.dir, gracefully);
}

async function force(dir, gracefully) {
  const { load } = require('../shared/native');
  const { masters, errorText } = await load().stopMasters(dir, gracefully, FORCE_PATIENCE_MS);
  if (errorText) throw new Failure(FAILED, errorText);
  for (const pid of masters) {
    print(`master ${pid}: it did not answer, ${gracefully ? 'it was sent SIGTERM' : 'it was killed'}`);
  }
}

// As good as can be: a zombie whose parent does not look is still there, and in another pid namespace it never was.
async function processGone(pid) {
  for (const until = Date.now() + LAST_MS; Date.now() < until && isThere(pid);) await after(5);
}

function isThere(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code !== 'ESRCH';
  }
}

module.exports = { stop, shutdown };
