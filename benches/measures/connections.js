// Thousands of connections are opened, asked one thing, and stay: how soon are they open, how even, what do they cost.
// Then all are closed and opened once more, in workers that have done it before.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { Load } = require('../lib/load');
const { compare, median, ratio, spread, sum } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const WORKERS = 4;
const ROUNDS = 3;
const CONNECTIONS = 8000;
const CAUSES = {
  ms: 'connections are counted, by code that is new to each of the workers among which they are spread evenly',
  again: 'connections are counted, and each has a record for that',
  uneven: 'the kernel gives connections to the workers by chance; Node\'s default deals them out in turn',
  workersKb: 'each connection has a record for its counts',
};
const ORDERS = { mode: 'idle', clients: CONNECTIONS, seconds: 20, timeoutMs: 10_000 };
const CLOSING_MS = 500;

module.exports = {
  name: 'connections',
  title: `${CONNECTIONS} idle connections`,
  async run(bench) {
    const names = [...bench.clusters, ...bench.socketEach];
    const kinds = names.map((name) => ({ name }));
    const results = await takeTurns(kinds, bench.rounds(ROUNDS), ({ name }) => openAll(bench, name));
    const rows = Object.entries(results).map(([name, rounds]) => {
      const of = (key) => rounds.map((round) => round[key]);
      const [low, high] = spread(of('uneven')).map((value) => value.toFixed(2));
      return [
        name,
        median(of('ms')).toFixed(0),
        median(of('again')).toFixed(0),
        `${median(of('uneven')).toFixed(2)} (${low} to ${high})`,
        median(of('masterKb')).toFixed(2),
        median(of('workersKb')).toFixed(1),
        String(sum(of('failures'))),
      ];
    });
    const of = (name, key) => results[name].map((one) => one[key]);
    const others = (key) => names.slice(1)
      .map((name) => `${ratio(of(bench.ours, key), of(name, key))} of ${name}`).join('; ');
    const figures = [['time to open', 'ms'], ['time to open again', 'again'], ['spread', 'uneven'],
      ['workers\' memory', 'workersKb']];
    const comparisons = bench.clusters.slice(1).flatMap((peer) => figures.map(([what, key]) =>
      compare(what, peer, of(bench.ours, key), of(peer, key), { cause: CAUSES[key] })));
    return [{
      text: `${CONNECTIONS} connections to ${WORKERS} workers, opened 64 at a time, each with one answered request; ` +
        'and again, once those are closed. Spread: the connections of the fullest worker by those of the emptiest. ' +
        'Memory: what the master and all workers grew by, in kB for a connection. ' +
        `Time to open, compared: ${others('ms')}. Again: ${others('again')}.` +
        bench.socketEach.map((name) => ` ${name} has a socket for each worker too, and nothing else.`).join(''),
      rows: [['', 'open ms', 'again ms', 'spread max/min', 'master kB', 'workers kB', 'failed'], ...rows],
      comparisons,
    }];
  },
};

async function openAll(bench, kind) {
  const contestant = await bench.start(kind, { workers: WORKERS });
  const before = contestant.memory();
  const { port } = contestant;
  const load = await Load.start({ ...ORDERS, port });
  const findings = await load.opened();
  const after = contestant.memory();
  await load.close();
  await sleep(CLOSING_MS);
  const second = await Load.start({ ...ORDERS, port });
  const again = await second.opened();
  await second.close();
  await contestant.end();
  const counts = Object.values(findings.workers);
  const opened = counts.length === WORKERS ? Math.max(...counts) / Math.min(...counts) : Infinity;
  return {
    ms: findings.elapsedMs,
    again: again.elapsedMs,
    uneven: opened,
    masterKb: (after.master - before.master) * 1024 / CONNECTIONS,
    workersKb: (after.rss - before.rss) * WORKERS * 1024 / CONNECTIONS,
    failures: sum([findings, again].flatMap(({ failed }) => Object.values(failed))),
  };
}
