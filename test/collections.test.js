// Collections of garbage are counted in a worker's row as Node's own observer counts them, at once.
'use strict';

const assert = require('node:assert/strict');
const { isDeepStrictEqual } = require('node:util');

const { ready, reap, request, start } = require('./support');
const { readScoreboard } = require('./support/scoreboard');

const TIMES = 3;

describe('collections of garbage', () => {
  afterEach(reap);

  it('are counted in the row as Node counts them', async () => {
    const program = start('collections', { options: { noWorkers: 1 }, execArgv: ['--expose-gc'] });
    await ready(program, 1);
    const counted = () => {
      const [{ gcMinor, gcMajor, gcPauseMs }] = readScoreboard(program.pid).rows;
      return { minor: gcMinor, major: gcMajor, pauseMs: gcPauseMs };
    };
    // Of a moment in which nothing else is collected.
    const look = async () => {
      for (;;) {
        const row = counted();
        const { body } = await request(program.port);
        if (isDeepStrictEqual(row, counted())) return { row, told: JSON.parse(body) };
      }
    };
    const before = await look();
    for (let time = 0; time < TIMES; time += 1) await request(program.port, { path: '/collect' });
    const after = await look();
    const grown = (which) => Object.fromEntries(
      Object.keys(after[which]).map((key) => [key, after[which][key] - before[which][key]]),
    );
    const [row, told] = [grown('row'), grown('told')];
    assert.ok(row.major >= TIMES && row.minor >= TIMES, JSON.stringify(row));
    assert.deepEqual([row.major, row.minor], [told.major, told.minor]);
    assert.ok(Math.abs(row.pauseMs - told.pauseMs) < 1 + told.pauseMs / 5, JSON.stringify([row, told]));
  });
});
