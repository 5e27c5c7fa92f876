// All workers are replaced under load: who loses a request, and how long does it take.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { Load } = require('../lib/load');
const { compare, compareCounts, median, ratio, spread, sum } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const WORKERS = 4;
const ROUNDS = 2;
const BEFORE_MS = 400;
const AFTER_MS = 300;
const LONGEST_MS = 10_000;
const CLIENTS = 20;
const THINK_MS = 10;
const ORDERS = { clients: CLIENTS, thinkMs: THINK_MS, seconds: 20, timeoutMs: 2000 };
const CAUSES = {
  failed: 'not known: to be looked into',
  time: 'nobody drains before the new workers have been seen to live for a while, which the loop does not check',
};

module.exports = {
  name: 'reload',
  title: 'Reload under load',
  async run(bench) {
    const kinds = bench.clusters.map((name) => ({ name }));
    const results = await takeTurns(kinds, bench.rounds(ROUNDS), ({ name }) => reloadOne(bench, name));
    const rows = Object.entries(results).map(([name, rounds]) => {
      const times = rounds.map(({ ms }) => ms);
      const [low, high] = spread(times).map(told);
      const failed = (key) => String(sum(rounds.map(({ [key]: failures }) => sum(Object.values(failures)))));
      const hung = String(sum(rounds.map(({ short, kept }) => short.timedOut + kept.timedOut)));
      return [name, failed('short'), failed('kept'), hung, `${told(median(times))} (${low} to ${high})`];
    });
    const times = (name) => results[name].map(({ ms }) => ms);
    const others = bench.clusters.slice(1).map((name) => `${ratio(times(bench.ours), times(name))} of ${name}`);
    const failures = (name) => results[name].map(({ short, kept }) =>
      sum([...Object.values(short), ...Object.values(kept)]));
    const comparisons = bench.clusters.slice(1).flatMap((peer) => [
      compareCounts('failed', peer, failures(bench.ours), failures(peer), { cause: CAUSES.failed }),
      compare('time', peer, times(bench.ours), times(peer), { cause: CAUSES.time }),
    ]);
    return [{
      text: `${WORKERS} workers are replaced while ${CLIENTS} clients ask on short connections and ${CLIENTS} on ` +
        `kept ones, pausing ${THINK_MS} ms: requests that failed in ${bench.rounds(ROUNDS)} reloads together, and ` +
        'those of them that hung. Node: the loop of fork, listening, disconnect, exit, one worker after the other. ' +
        'This package takes its time to see that the new workers live (docs/lifecycle.md). What took longer than ' +
        `${LONGEST_MS / 1000} s was ended. Time, compared: ${others.join('; ')}.`,
      rows: [['', 'failed, short', 'failed, kept', 'hung', 'ms'], ...rows],
      comparisons,
    }];
  },
};

// Each reload is that of a fresh cluster: one that does not come to its end spoils no other.
async function reloadOne(bench, kind) {
  const contestant = await bench.start(kind, { workers: WORKERS });
  const { port } = contestant;
  const loads = await Promise.all(['short', 'kept'].map((mode) => Load.start({ port, mode, ...ORDERS })));
  await sleep(BEFORE_MS);
  const ms = await contestant.order('reload', LONGEST_MS).catch(() => LONGEST_MS);
  await sleep(AFTER_MS);
  const [short, kept] = await Promise.all(loads.map((load) => load.finish()));
  await contestant.end();
  return { ms, short: short.failed, kept: kept.failed };
}

function told(ms) {
  return ms >= LONGEST_MS ? `over ${LONGEST_MS}` : ms.toFixed(0);
}
