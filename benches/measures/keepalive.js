// Keep-alive: one request after the other on connections that stay open, which is where shares are uneven.
'use strict';

const { comparisonsOf, loadInTurns, ratiosOf, rowsOf } = require('../lib/throughput');

const PLAN = { mode: 'kept', rounds: 5, seconds: 1.2, clients: 40 };
const WORKERS = 2;
/** Why we may be behind: see docs/BENCHMARKS.md. */
const CAUSES = {
  perSecond: 'requests are counted, and chance gives one worker more of the connections than the other',
  p99: 'chance gives one worker more of the connections than the other',
  workersCpu: 'requests are counted: see the cost of the scoreboard',
};

module.exports = {
  name: 'keepalive',
  title: 'Keep-alive connections',
  async run(bench) {
    const contestants = await bench.startAll(bench.everyone, { workers: WORKERS });
    const results = await loadInTurns(bench, contestants, PLAN);
    return [
      {
        text: `${WORKERS} workers, ${PLAN.clients} connections that stay open. Medians of ` +
          `${bench.rounds(PLAN.rounds)} rounds; CPU is ms for 1,000 requests; busiest is the share of the ` +
          'worker that answered most.',
        rows: rowsOf(results),
      },
      {
        text: 'Ratios of the rounds: the median, and the lowest and highest.',
        rows: ratiosOf(results),
        comparisons: comparisonsOf(results, CAUSES),
      },
    ];
  },
};
