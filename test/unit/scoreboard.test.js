// A worker's end of the scoreboard where there is none, or a wrong one.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');

const { load } = require('../../lib/shared/native');
const { Board } = require('../../lib/worker/counting/scoreboard');

describe('Board', () => {
  let listeners;
  before(() => { listeners = process.listeners('uncaughtExceptionMonitor'); });
  after(() => {
    for (const listener of process.listeners('uncaughtExceptionMonitor')) {
      if (!listeners.includes(listener)) process.removeListener('uncaughtExceptionMonitor', listener);
    }
  });

  it('counts for itself where the master has no scoreboard', () => {
    const board = new Board(load(), undefined);
    board.add('connectionsTotal');
    board.add('connectionsTotal', 2);
    board.note('ä'.repeat(5000));
    assert.deepEqual([board.get('connectionsTotal'), board.get('pid')], [3, process.pid]);
    assert.deepEqual([board.isShared, board.problem], [false, undefined]);
  });

  it('leaves alone a descriptor that is no scoreboard, says why, and counts for itself', () => {
    const fd = fs.openSync(os.devNull, 'r');
    try {
      const board = new Board(load(), { fd, row: 0 });
      board.add('errors');
      assert.deepEqual([board.problem.code, board.isShared], ['ERR_CLUSTER2_SCOREBOARD', false]);
      assert.equal(board.get('errors'), 1);
      assert.ok(fs.fstatSync(fd));
    } finally {
      fs.closeSync(fd);
    }
  });

  it('survives numbers that name no descriptor', () => {
    for (const place of [{ fd: 987_654, row: 0 }, { fd: -1, row: -1 }, { fd: NaN, row: NaN }]) {
      assert.equal(new Board(load(), place).problem.code, 'ERR_CLUSTER2_SCOREBOARD');
    }
  });
});
