// What /proc says of processes: who carries a mark in its environment, who is alive, what a process holds open.
'use strict';

const fs = require('node:fs');

/** Whether the process runs; a zombie does not. */
function isAlive(pid) {
  const stat = readOr(`/proc/${pid}/stat`, '');
  return stat !== '' && !/^\d+ \(.*\) [ZX]/s.test(stat);
}

/** Living processes with `NAME=value` in the environment that they were started with. */
function withEnvironment(name, value) {
  const mark = `\0${name}=${value}\0`;
  return allPids().filter((pid) => `\0${readOr(`/proc/${pid}/environ`, '')}`.includes(mark) && isAlive(pid));
}

/** The children of a process, zombies included, as `{pid, isZombie}`. */
function childrenOf(parent) {
  return allPids().flatMap((pid) => {
    const [, state, ppid] = /^\d+ \(.*\) (\w) (\d+)/s.exec(readOr(`/proc/${pid}/stat`, '')) ?? [];
    return Number(ppid) === parent ? [{ pid, isZombie: state === 'Z' }] : [];
  });
}

/** How many descriptors the process holds. */
function countDescriptors(pid) {
  return fs.readdirSync(`/proc/${pid}/fd`).length;
}

function commandOf(pid) {
  return readOr(`/proc/${pid}/cmdline`, '').replaceAll('\0', ' ').trim();
}

function allPids() {
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
}

// Processes come and go while /proc is read.
function readOr(path, otherwise) {
  try {
    return fs.readFileSync(path, 'latin1');
  } catch {
    return otherwise;
  }
}

module.exports = { isAlive, withEnvironment, childrenOf, countDescriptors, commandOf };
