// A cgroup with a memory limit, where this machine lets us make one (as root, with a memory controller at hand).
//
// Whoever makes one calls `remove` once its processes are gone.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

// Version 1 and version 2: where cgroups are made, and the file that holds the limit.
const KINDS = [
  { root: '/sys/fs/cgroup/memory', file: 'memory.limit_in_bytes' },
  { root: '/sys/fs/cgroup', file: 'memory.max' },
];

/** Makes one; undefined where that can't be done. */
function makeMemoryCgroup(bytes) {
  for (const { root, file } of KINDS) {
    const directory = path.join(root, `cluster2-test-${process.pid}`);
    try {
      fs.mkdirSync(directory);
    } catch {
      continue;
    }
    try {
      // A file that is not there is not to be made: the controller is missing.
      fs.writeFileSync(path.join(directory, file), String(bytes), { flag: 'r+' });
      return { directory, node: wrapper(directory), remove: () => fs.rmdirSync(directory) };
    } catch {
      fs.rmdirSync(directory);
    }
  }
  return undefined;
}

module.exports = { makeMemoryCgroup };

// A program that joins the cgroup and becomes this Node.
function wrapper(directory) {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-cgroup-')), 'node');
  const procs = path.join(directory, 'cgroup.procs');
  fs.writeFileSync(file, `#!/bin/sh\necho $$ > ${procs}\nexec ${process.execPath} "$@"\n`, { mode: 0o700 });
  return file;
}
