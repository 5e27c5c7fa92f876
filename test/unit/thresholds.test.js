// When a worker is due, with numbers instead of load.
'use strict';

const assert = require('node:assert/strict');

const { Thresholds } = require('../../lib/worker/counting/thresholds');

const OPTIONS = {
  connThreshold: 100, connThresholdGiven: true, requestThreshold: 1000, uptimeThreshold: 1e6,
  memoryThreshold: 2 ** 50, recycleJitter: 0,
};

const exceeded = (options, counts, random, uptime) =>
  new Thresholds({ ...OPTIONS, ...options }, { connections: 0, requests: 0, ...counts }, random, uptime).exceeded();

describe('thresholds', () => {
  it('are exceeded by more, not by as many', () => {
    assert.equal(exceeded({}, { connections: 100, requests: 1000 }), undefined);
    assert.equal(exceeded({}, { connections: 101 }), 'connections');
    assert.equal(exceeded({}, { requests: 1001 }), 'requests');
    assert.equal(exceeded({ uptimeThreshold: 0.001 }), 'uptime');
    assert.equal(exceeded({ memoryThreshold: 1000 }), 'memory');
  });

  it('of connections count from ten minutes on where they are the default', () => {
    const isExceeded = (connThresholdGiven, age) =>
      exceeded({ connThresholdGiven }, { connections: 101 }, undefined, () => age) === 'connections';
    assert.deepEqual([isExceeded(false, 599), isExceeded(false, 601)], [false, true]);
    assert.deepEqual([isExceeded(true, 1), isExceeded(true, 601)], [true, true]);
  });

  it('that are off are never exceeded', () => {
    const off = { requestThreshold: null, memoryThreshold: null };
    assert.equal(exceeded(off, { requests: 1e12 }), undefined);
  });

  it('are raised by the jitter, each by its own part, and never lowered', () => {
    const half = () => 0.5;
    assert.equal(exceeded({ recycleJitter: 0.2 }, { connections: 110 }, half), undefined);
    assert.equal(exceeded({ recycleJitter: 0.2 }, { connections: 111 }, half), 'connections');
    for (let at = 0; at < 100; at += 1) {
      assert.equal(exceeded({ recycleJitter: 1 }, { connections: 100, requests: 1000 }), undefined);
      assert.equal(exceeded({ recycleJitter: 1 }, { connections: 201 }), 'connections');
    }
  });
});
