// Keep-alive: one request after the other on connections that stay open, which is where shares are uneven.
'use strict';

const { throughput } = require('../lib/throughput');

module.exports = throughput({
  name: 'keepalive',
  title: 'Keep-alive connections',
  mode: 'kept',
  what: 'connections that stay open',
  // See docs/BENCHMARKS.md.
  causes: {
    perSecond: 'requests are counted and recorded, and idle connections watched; see above',
    p99: 'requests are counted and recorded; most of it is up to the scheduler of a machine that is full',
    workersCpu: 'requests are counted and recorded, and idle connections watched; see above',
  },
});
