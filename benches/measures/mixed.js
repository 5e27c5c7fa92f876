// Mixed work at a fixed rate of new connections: most requests hold the event loop for a millisecond, some for forty.
// Who waits behind a worker that computes while another is idle?
'use strict';

const { underLoad } = require('../lib/load');
const { voluntarySwitches } = require('../lib/processes');
const { compare, median } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const WORKERS = 8;
const ROUNDS = 5;
const SECONDS = 4;
const RATES = [400, 700, 1000];
const LIGHT_MS = 1;
const HEAVY_MS = 40;
const HEAVY_EVERY = 10;
const CAUSE = 'each queue is watched by some workers only, so that a connection wakes few of them';

module.exports = {
  name: 'mixed',
  title: 'Mixed work',
  async run(bench) {
    const contestants = await bench.startAll(bench.clusters, { workers: WORKERS });
    for (const contestant of contestants) await underLoad(contestant, { ...ordersOf(RATES[0]), seconds: 0.5 });
    const sections = [];
    for (const rate of RATES) sections.push(await atRate(bench, contestants, rate));
    return sections;
  },
};

async function atRate(bench, contestants, rate) {
  const orders = { ...ordersOf(rate), seconds: bench.seconds(SECONDS) };
  const results = await takeTurns(contestants, bench.rounds(ROUNDS), async (contestant) => {
    const switches = () => contestant.workers().reduce((total, pid) => total + voluntarySwitches(pid), 0);
    const before = switches();
    const findings = await underLoad(contestant, orders);
    // Each request holds the loop by one sleep of its own.
    return { ...findings, wakeUps: (switches() - before) / findings.answered - 1 };
  });
  const of = (name, figure) => median(results[name].map(figure));
  const rows = Object.keys(results).map((name) => [
    name,
    ...['p50', 'p99', 'longest'].map((key) => of(name, ({ latencyUs }) => latencyUs[key] / 1000).toFixed(1)),
    of(name, ({ busiest }) => busiest * WORKERS).toFixed(2),
    of(name, ({ wakeUps }) => wakeUps).toFixed(1),
    of(name, ({ workersCpu }) => workersCpu).toFixed(0),
    of(name, ({ failures }) => failures).toFixed(0),
  ]);
  const latency = (name, key) => results[name].map(({ latencyUs }) => latencyUs[key]);
  const comparisons = bench.clusters.slice(1).flatMap((peer) => ['p50', 'p99'].map((key) =>
    compare(key, peer, latency(bench.ours, key), latency(peer, key), { cause: CAUSE })));
  return {
    text: `${rate} new connections a second for ${SECONDS} s, ${WORKERS} workers as if each had a processor of its ` +
      `own: a request holds the loop for ${LIGHT_MS} ms, every ${HEAVY_EVERY}th for ${HEAVY_MS} ms. Each counts from ` +
      `its planned start. Medians of ${bench.rounds(ROUNDS)} rounds. Busiest: its requests by the mean of all workers.`,
    rows: [
      ['', 'p50 ms', 'p99 ms', 'longest ms', 'busiest', 'wake-ups per connection', 'workers\' CPU us', 'failed'],
      ...rows,
    ],
    comparisons,
  };
}

function ordersOf(rate) {
  return {
    mode: 'rate', rate, clients: 4000, seconds: SECONDS, timeoutMs: 5000, path: `/hold/${LIGHT_MS}`,
    heavyEvery: HEAVY_EVERY, heavyPath: `/hold/${HEAVY_MS}`,
  };
}
