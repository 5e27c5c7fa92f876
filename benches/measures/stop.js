// A graceful stop under load: who loses a request that was under way, and when are the workers gone.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { Load } = require('../lib/load');
const { compare, compareCounts, median, spread, sum } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const WORKERS = 4;
const ROUNDS = 2;
const BEFORE_MS = 400;
const LONGEST_MS = 6000;
const CLIENTS = 20;
const LOADS = {
  slow: { mode: 'short', path: '/slow' },
  kept: { mode: 'kept', thinkMs: 10 },
  busy: { mode: 'kept', clients: 4 },
};
const CAUSES = {
  lost: 'not known: to be looked into',
  time: 'the queues are emptied before the port closes, and every answer under way is waited for',
};

module.exports = {
  name: 'stop',
  title: 'Graceful stop under load',
  async run(bench) {
    const kinds = bench.clusters.map((name) => ({ name }));
    const results = await takeTurns(kinds, bench.rounds(ROUNDS), ({ name }) => stopOne(bench, name));
    const rows = Object.entries(results).map(([name, rounds]) => {
      const times = rounds.map(({ ms }) => ms);
      const [low, high] = spread(times).map(told);
      const lost = (key) => String(sum(rounds.map((round) => round[key])));
      return [name, lost('slow'), lost('kept'), lost('busy'), `${told(median(times))} (${low} to ${high})`];
    });
    const of = (name, figure) => results[name].map(figure);
    const allLost = ({ slow, kept, busy }) => slow + kept + busy;
    const comparisons = bench.clusters.slice(1).flatMap((peer) => [
      compareCounts('lost', peer, of(bench.ours, allLost), of(peer, allLost), { cause: CAUSES.lost }),
      compare('time', peer, of(bench.ours, ({ ms }) => ms), of(peer, ({ ms }) => ms), { cause: CAUSES.time }),
    ]);
    return [{
      text: `${WORKERS} workers are told to stop (SIGTERM to the master, \`cluster.disconnect\`, PM2's delete) under ` +
        `three loads: ${CLIENTS} clients that wait 300 ms for each answer on short connections, ${CLIENTS} on kept ` +
        `ones that pause 10 ms, and ${LOADS.busy.clients} on kept ones without a pause. Lost in ` +
        `${bench.rounds(ROUNDS)} stops together: requests that were sent and not answered; that a new connection is ` +
        'refused is what a stop means, and is not counted. Time: until all workers are gone; what took longer than ' +
        `${LONGEST_MS / 1000} s was killed.`,
      rows: [['', 'lost, 300 ms', 'lost, pausing', 'lost, busy', 'ms'], ...rows],
      comparisons,
    }];
  },
};

async function stopOne(bench, kind) {
  const contestant = await bench.start(kind, { workers: WORKERS });
  const { port } = contestant;
  const orders = { port, clients: CLIENTS, seconds: 20, timeoutMs: 2000 };
  const loads = await Promise.all(Object.values(LOADS).map((load) => Load.start({ ...orders, ...load })));
  await sleep(BEFORE_MS);
  const began = performance.now();
  contestant.askToStop();
  const gone = () => contestant.workers().length === 0;
  while (!gone() && performance.now() - began < LONGEST_MS) await sleep(10);
  const ms = performance.now() - began;
  const [slow, kept, busy] = await Promise.all(loads.map((load) => load.finish()));
  await contestant.end();
  return { ms, slow: lost(slow), kept: lost(kept), busy: lost(busy) };
}

function lost({ failed }) {
  const { refused: _, ...others } = failed;
  return sum(Object.values(others));
}

function told(ms) {
  return ms >= LONGEST_MS ? `over ${LONGEST_MS}` : ms.toFixed(0);
}
