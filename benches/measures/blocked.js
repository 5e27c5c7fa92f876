// One of four workers is blocked for two seconds while connections come at a fixed rate: whom does that hold up?
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { underLoad } = require('../lib/load');
const { signal } = require('../lib/processes');
const { compare, compareCounts, median } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const WORKERS = 4;
const ROUNDS = 2;
const RATE = 400;
const SECONDS = 3;
const BEFORE_MS = 500;
const BLOCK_MS = 2000;
const CAUSE = 'connections wait in the blocked worker\'s queue until its loop is seen to stand still, and are moved ' +
  'then; where all workers share one queue there is nothing to move';
const ORDERS = { mode: 'rate', rate: RATE, clients: 4000, seconds: SECONDS, timeoutMs: 5000 };

module.exports = {
  name: 'blocked',
  title: 'One of four workers blocked',
  async run(bench) {
    const env = { BENCH_BLOCK_MS: String(BLOCK_MS) };
    const contestants = await bench.startAll(bench.clusters, { workers: WORKERS, env });
    for (const contestant of contestants) await underLoad(contestant, { ...ORDERS, seconds: 0.5 });
    const results = await takeTurns(contestants, bench.rounds(ROUNDS), async (contestant) => {
      const [findings] = await Promise.all([underLoad(contestant, ORDERS), blockOne(contestant)]);
      return findings;
    });
    const of = (rounds, figure) => median(rounds.map(figure));
    const rows = Object.entries(results).map(([name, rounds]) => [
      name,
      ...['p50', 'p99', 'p999', 'longest'].map((key) => of(rounds, (one) => one.latencyUs[key] / 1000).toFixed(1)),
      ...['35', '100', '1000'].map((ms) => of(rounds, ({ slower }) => slower[ms]).toFixed(0)),
      of(rounds, ({ failures }) => failures).toFixed(0),
    ]);
    const head = ['', 'p50 ms', 'p99 ms', 'p99.9 ms', 'longest ms', '> 35 ms', '> 100 ms', '> 1 s', 'failed'];
    const latency = (name, key) => results[name].map(({ latencyUs }) => latencyUs[key]);
    const stranded = (name) => results[name].map(({ slower, failures }) => slower['1000'] + failures);
    const peers = bench.clusters.slice(1);
    const comparisons = peers.flatMap((peer) => [
      ...['p99', 'p999', 'longest'].map((key) =>
        compare(key.replace('p999', 'p99.9'), peer, latency(bench.ours, key), latency(peer, key), { cause: CAUSE })),
      compareCounts('stranded clients', peer, stranded(bench.ours), stranded(peer), { cause: CAUSE }),
    ]);
    return [{
      text: `${RATE} new connections a second for ${SECONDS} s, each counted from its planned start; one worker of ` +
        `${WORKERS} is in a loop for ${BLOCK_MS / 1000} s of it. Medians of ${bench.rounds(ROUNDS)} rounds; the ` +
        `counts are of ${RATE * SECONDS} clients.`,
      rows: [head, ...rows],
      comparisons,
    }];
  },
};

async function blockOne(contestant) {
  await sleep(BEFORE_MS);
  const [first] = contestant.workers();
  signal(first, 'SIGWINCH');
}
