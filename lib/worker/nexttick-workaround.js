// Keeps `process.nextTick` fast for as long as the process lives.
//
// V8 remembers, for Node's own code, of which shape the records of `nextTick` are. A full collection of garbage at a
// moment when no such record is left, as the one that V8 makes of a process that has nothing to do for its first eight
// seconds, takes the shape away, and from then on every `nextTick` takes a detour: 2 us for each request
// (docs/performance-notes.md, "After 8 idle seconds"). One record that stays keeps the shape. lib/cluster.js loads this as early as it can.
'use strict';

const { executionAsyncResource } = require('node:async_hooks');

// What runs at the moment is, to the hooks, the record itself.
process.nextTick(() => { module.exports.tick = executionAsyncResource(); });
