// Whether a worker has taken more than its share, on a board and with a clock of the test's own.
'use strict';

const assert = require('node:assert/strict');

const fc = require('fast-check');

const { FairShare } = require('../../lib/worker/serving/fair-share');
const { holds } = require('../support/properties');

const PLACES = { takers: 0, takerRows: 1, accepted: 20 };
const MOST = 16;

// A header in which workers count, and what each of them finds.
class Stage {
  now = 0;
  header = new Float64Array(PLACES.accepted + MOST);

  constructor(counts) {
    this.alive = new Set(counts.keys());
    this.header.set([counts.length, ...counts.keys()], PLACES.takers);
    this.header.set(counts, PLACES.accepted);
    this.shares = counts.map((count, row) =>
      new FairShare({ header: this.header, layout: { header: PLACES }, row }, { recent: () => 0 }, () => this.now));
  }

  accept(row, count) {
    this.header[PLACES.accepted + row] += count;
  }

  /** The worker of the row has died: the master clears the row, and names the others. */
  clear(row) {
    this.header[PLACES.accepted + row] = 0;
    this.alive.delete(row);
    this.header.set([this.alive.size, ...this.alive], PLACES.takers);
  }

  get ahead() {
    return this.shares.filter((share, row) => this.alive.has(row)).map((share) => share.isAhead());
  }
}

const counts = fc.array(fc.nat(1e6), { minLength: 1, maxLength: MOST });

describe('the fair share of a worker', () => {
  it('is not exceeded by all who take part, whatever they take and whoever dies', () => {
    const deeds = fc.array(fc.record({
      row: fc.nat(MOST - 1), count: fc.nat(1000), isByAll: fc.boolean(), dies: fc.boolean(),
    }));
    holds(fc.property(counts, deeds, (before, after) => {
      const stage = new Stage(before);
      assert.ok(!stage.ahead.includes(true), 'nobody is ahead when the window begins');
      for (const { row, count, isByAll, dies } of after.filter((deed) => deed.row < before.length)) {
        if (!stage.alive.has(row)) continue;
        for (const taker of isByAll ? stage.alive : [row]) stage.accept(taker, count);
        if (dies) stage.clear(row);
        assert.ok(stage.alive.size === 0 || stage.ahead.includes(false), 'somebody is left for the queues of others');
      }
    }));
  });

  it('is exceeded no longer than a window after the last connection', () => {
    holds(fc.property(counts, fc.array(fc.nat(1e5), { maxLength: MOST }), fc.nat(5000), (before, taken, since) => {
      const stage = new Stage(before);
      assert.ok(stage.ahead.every((isAhead) => !isAhead));
      stage.now += since;
      for (const [row, count] of taken.slice(0, before.length).entries()) stage.accept(row, count);
      stage.ahead.every(Boolean);
      stage.now += 5001;
      assert.ok(!stage.ahead.includes(true));
    }));
  });

  it('is exceeded by a worker that takes clearly more than the others', () => {
    holds(fc.property(fc.integer({ min: 2, max: MOST }), fc.nat(50), (workers, each) => {
      const stage = new Stage(Array(workers).fill(0));
      stage.ahead.every(Boolean);
      for (let row = 0; row < workers; row += 1) stage.accept(row, row === 0 ? 100 + 10 * each : each);
      assert.deepEqual(stage.ahead, stage.shares.map((share, row) => row === 0));
    }));
  });

  it('is not exceeded because one worker stands still and takes nothing', () => {
    holds(fc.property(fc.integer({ min: 3, max: MOST }), fc.nat(100_000), (workers, each) => {
      const stage = new Stage(Array(workers).fill(0));
      stage.ahead.every(Boolean);
      for (let row = 1; row < workers; row += 1) stage.accept(row, each);
      assert.ok(!stage.ahead.includes(true));
    }));
  });

  it('is nothing to a worker that does not take part', () => {
    const stage = new Stage([0, 0]);
    stage.header[PLACES.takers] = 0;
    stage.ahead.every(Boolean);
    stage.accept(0, 1000);
    assert.deepEqual(stage.ahead, [false, false]);
  });
});
