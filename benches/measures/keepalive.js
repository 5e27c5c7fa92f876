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
    perSecond: 'requests are counted, and chance gives one worker more of the connections than the other',
    p99: 'chance gives one worker more of the connections than the other',
    workersCpu: 'requests are counted: see the cost of the scoreboard',
  },
});
