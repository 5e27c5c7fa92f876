// kill -9 of one of four workers under load: who loses a request, who waits for ever, how soon there are four again.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { Load } = require('../lib/load');
const { signal } = require('../lib/processes');
const { compare, compareCounts, median, spread, sum } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const WORKERS = 4;
const ROUNDS = 3;
const BEFORE_MS = 500;
const AFTER_MS = 500;
const RECOVERY_MS = 15_000;
// What is not answered within the time-out hangs: nobody is blocked, and an answer takes milliseconds.
const ORDERS = { mode: 'short', clients: 40, thinkMs: 10, seconds: 20, timeoutMs: 2000 };
const CAUSES = {
  lost: 'what the dead worker had accepted is lost; with a queue of its own it accepts sooner',
  hung: 'not known: to be looked into',
  recovery: 'a worker loads the addon and this package before its app',
};

module.exports = {
  name: 'kill',
  title: 'kill -9 of a worker under load',
  async run(bench) {
    const contestants = await bench.startAll(bench.clusters, { workers: WORKERS });
    const results = await takeTurns(contestants, bench.rounds(ROUNDS), killOne);
    const rows = Object.entries(results).map(([name, rounds]) => {
      const count = (key) => String(sum(rounds.map(({ failed }) => failed[key])));
      const times = rounds.map(({ recovery }) => recovery);
      const [low, high] = spread(times).map((ms) => ms.toFixed(0));
      const lost = sum(rounds.map(({ failed }) => failed.reset + failed.cutShort));
      const recovery = `${median(times).toFixed(0)} (${low} to ${high})`;
      return [name, String(lost), count('refused'), count('timedOut'), recovery];
    });
    const of = (name, figure) => results[name].map(figure);
    const lost = ({ failed }) => failed.reset + failed.cutShort;
    const hung = ({ failed }) => failed.timedOut;
    const recovery = (one) => one.recovery;
    const comparisons = bench.clusters.slice(1).flatMap((peer) => [
      compareCounts('lost', peer, of(bench.ours, lost), of(peer, lost), { cause: CAUSES.lost }),
      compareCounts('hung', peer, of(bench.ours, hung), of(peer, hung), { cause: CAUSES.hung }),
      compare('recovery', peer, of(bench.ours, recovery), of(peer, recovery), { cause: CAUSES.recovery }),
    ]);
    return [{
      text: `${ORDERS.clients} clients on short connections, ${WORKERS} workers, one is killed: what failed in ` +
        `${bench.rounds(ROUNDS)} kills together. Lost: the connection broke, as it must where the dead worker had ` +
        `accepted it; hung: no answer in ${ORDERS.timeoutMs / 1000} s. Recovery: until a new worker listens.`,
      rows: [['', 'lost', 'refused', 'hung', 'recovery ms'], ...rows],
      comparisons,
    }];
  },
};

async function killOne(contestant) {
  const load = await Load.start({ port: contestant.port, ...ORDERS });
  await sleep(BEFORE_MS);
  const had = contestant.listenings();
  const victim = contestant.workers()[0];
  const killed = performance.timeOrigin + performance.now();
  signal(victim, 'SIGKILL');
  await contestant.until(() => contestant.listenings() > had, RECOVERY_MS, 'has not recovered');
  const recovery = contestant.lastListening() - killed;
  await sleep(AFTER_MS);
  return { ...await load.finish(), recovery };
}
