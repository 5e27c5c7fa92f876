// Short connections: each request on a connection of its own, as behind a proxy that keeps none open.
'use strict';

const { comparisonsOf, loadInTurns, ratiosOf, rowsOf } = require('../lib/throughput');

const PLAN = { mode: 'short', rounds: 5, seconds: 1.2, clients: 40 };
const WORKERS = 2;
/** Why we may be behind: see docs/BENCHMARKS.md. */
const CAUSES = {
  perSecond: 'connections and requests are counted; one process needs no other to share the cores with',
  p99: 'the kernel gives a connection to a worker by chance, so one queue can be longer than another',
  workersCpu: 'connections and requests are counted; two workers fill less of the caches than one process',
};

module.exports = {
  name: 'short',
  title: 'Short connections',
  async run(bench) {
    const contestants = await bench.startAll(bench.everyone, { workers: WORKERS });
    const results = await loadInTurns(bench, contestants, PLAN);
    return [
      {
        text: `${WORKERS} workers, ${PLAN.clients} clients, a new connection for each request. Medians of ` +
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
