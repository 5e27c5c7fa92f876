// Collections of garbage are counted in a worker's row as Node's own observer counts them, at once.
'use strict';

const assert = require('node:assert/strict');
const { isDeepStrictEqual } = require('node:util');

const { eventually, ready, reap, request, start } = require('./support');
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
    const ask = async () => JSON.parse((await request(program.port)).body);
    // Of a moment in which nothing else is collected and the observer has nothing new to tell.
    const look = () => eventually(async () => {
      const [row, told] = [counted(), await ask()];
      return isDeepStrictEqual([row, told], [counted(), await ask()]) && { row, told };
    });
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
