// Keeps `process.nextTick` fast for as long as the process lives.
//
// lib/cluster.js loads it as early as it can. V8 remembers the shape of the records that `nextTick` makes. If no such
// record is alive during a full collection of garbage, V8 forgets the shape, and every later `nextTick` is slow: 2 us
// for each request (docs/performance-notes.md, "After 8 idle seconds"). V8 makes such a collection when a process has
// been idle for its first eight seconds. One record that is kept alive keeps the shape.
'use strict';

const { executionAsyncResource } = require('node:async_hooks');

// While the callback runs, this function returns the record itself.
process.nextTick(() => { module.exports.tick = executionAsyncResource(); });
