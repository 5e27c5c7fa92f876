// Collections of garbage where Rust can't count them, as in a process whose Node does not export V8's functions: here,
// one without a shared scoreboard. In a process of its own, since an observer slows down all that follows.
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');

const lib = (name) => JSON.stringify(path.resolve(__dirname, '../../lib', name));

const program = `
const { PerformanceObserver, constants } = require('node:perf_hooks');
const { load } = require(${lib('shared/native')});
const { Board } = require(${lib('worker/counting/scoreboard')});
const { VitalSigns } = require(${lib('worker/counting/vital-signs')});

const board = new Board(load(), undefined);
new VitalSigns(board).start();
const told = { gcMajor: 0, gcMinor: 0, gcPauseMs: 0 };
const fields = { [constants.NODE_PERFORMANCE_GC_MAJOR]: 'gcMajor', [constants.NODE_PERFORMANCE_GC_MINOR]: 'gcMinor' };
const turns = setInterval(() => {
  // Set in the moment in which the observer begins.
  if (board.get('heapLimit') === 0) return;
  clearInterval(turns);
  new PerformanceObserver((list) => {
    for (const { detail, duration } of list.getEntries()) {
      told.gcPauseMs += duration;
      if (fields[detail.kind]) told[fields[detail.kind]] += 1;
    }
    if (told.gcMajor < 3 || told.gcMinor < 2) return;
    // After both observers.
    setImmediate(() => {
      const counted = Object.fromEntries(Object.keys(told).map((field) => [field, board.get(field)]));
      console.log(JSON.stringify({ counts: board.countsCollections, told, counted }));
      process.exit();
    });
  }).observe({ entryTypes: ['gc'] });
  for (let time = 0; time < 3; time += 1) gc();
  for (let time = 0; time < 2; time += 1) gc({ type: 'minor' });
}, 5);`;

describe('VitalSigns', () => {
  it('counts collections by Node\'s observer where Rust does not', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', '-e', program], { timeout: 10_000 });
    const { counts, told, counted } = JSON.parse(stdout);
    assert.equal(counts, false);
    assert.deepEqual(counted, told);
  });
});
