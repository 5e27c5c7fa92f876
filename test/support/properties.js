// Properties that hold for whatever is made up at random.
//
// A failure names its seed and its path, and the smallest example; `SEED=n npx mocha <file>` tries the same again, and
// `RUNS=100000` is for a long run.
'use strict';

const fc = require('fast-check');

const { RUNS, SEED } = process.env;

/** Tries `property` with many values. */
function holds(property, runs = 300) {
  fc.assert(property, { numRuns: Number(RUNS ?? runs), ...SEED && { seed: Number(SEED) } });
}

/** The same where it takes a while. */
async function holdsInTime(property, runs = 100) {
  await fc.assert(property, { numRuns: Number(RUNS ?? runs), ...SEED && { seed: Number(SEED) } });
}

module.exports = { holds, holdsInTime };
