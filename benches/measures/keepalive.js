// Keep-alive: one request after the other on connections that stay open, which is where shares are uneven.
'use strict';

const { loadInTurns, ratiosOf, rowsOf } = require('../lib/throughput');

const PLAN = { mode: 'kept', rounds: 5, seconds: 1.2, clients: 40 };
const WORKERS = 2;

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
      { text: 'Ratios of the rounds: the median, and the lowest and highest.', rows: ratiosOf(results) },
    ];
  },
};
