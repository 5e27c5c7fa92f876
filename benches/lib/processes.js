// What the kernel knows of processes: their time on the processors, their memory, and who belongs to this run.
'use strict';

const fs = require('node:fs');

/** The processor time of a process and its threads in ms; those that have ended count no more. 0 if it is gone. */
function cpuMilliseconds(pid) {
  let nanoseconds = 0;
  try {
    for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
    }
  } catch {
    // Gone, or a thread of it.
  }
  return nanoseconds / 1e6;
}

/** How often the main thread of a process has gone to sleep by itself; 0 if it is gone. */
function voluntarySwitches(pid) {
  try {
    return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))[1]);
  } catch {
    return 0;
  }
}

/** Memory in MB: `rss` counts pages that are shared in full, `pss` by their share. */
function memory(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)[1]) / 1024;
  return { rss: of('Rss'), pss: of('Pss') };
}

/** The living processes that have `marker` in the environment they were started with. */
function processesWith(marker) {
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((pid) => pid !== process.pid && has(pid, marker));
}

function has(pid, marker) {
  try {
    return fs.readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(marker);
  } catch {
    return false;
  }
}

function isAlive(pid) {
  try {
    // A zombie is over, whoever has not collected it yet.
    return !/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** Sends a signal to one that may have gone by itself. */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // Gone.
  }
}

module.exports = { cpuMilliseconds, isAlive, memory, processesWith, signal, voluntarySwitches };
