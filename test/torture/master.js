// What the master under torture does beside its work: it says what happens, does what faults ask of it, and looks
// whether messages come in their order.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');

const { takeDescriptors } = require('../support/descriptors');
const { report, reportEvents } = require('../support/report');

const DEEDS = { 'block-master': stand, hog };

/** `c` is the cluster; this process is its master. */
function attend(c) {
  reportEvents(c, 'forked', 'listening', 'died', 'warning', 'note', 'hung', 'spare');
  // Threads of Node's own pool are there from now on, so that they are not taken for a leak later.
  fs.stat('.', () => {});
  const last = new Map();
  cluster.on('message', ({ process: { pid } }, { noise: number, deed, amount } = {}) => {
    if (deed !== undefined) DEEDS[deed](amount);
    if (number === undefined) return;
    if (number !== (last.get(pid) ?? 0) + 1) report('disorder', pid, last.get(pid), number);
    last.set(pid, number);
  });
  cluster.on('exit', ({ process: { pid } }) => last.delete(pid));
}

/** Stands still without using a processor, which the clients need. */
function stand(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

module.exports = { attend, stand };

// Keeps all descriptors that the master may have, for `ms` at least.
function hog(ms) {
  report('hogs');
  const { release } = takeDescriptors();
  // Later, if the loop is blocked.
  setTimeout(() => {
    release();
    report('hogged');
  }, ms);
}
