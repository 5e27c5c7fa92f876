// How the master's cost grows with workers and with connections, and how long its pages take then.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { askAgain } = require('../lib/asking');
const { freePort } = require('../lib/contestants');
const { Load } = require('../lib/load');
const { cpuMilliseconds, memory } = require('../lib/processes');
const { median } = require('../lib/statistics');

const WORKERS = [1, 2, 4, 8, 16, 32, 64];
const CONNECTIONS = [100, 500, 1000, 2000, 4000, 8000];
const WORKERS_OF_CONNECTIONS = 4;
const SETTLE_MS = 500;
const IDLE_MS = 1000;
const ANSWERS = 30;

const FIGURES = [
  ['cpu', 'master CPU, ms a second', 2],
  ['rss', 'master memory, MB', 1],
  ['metrics', 'scrape of /metrics, ms', 2],
  ['page', 'page update, ms', 2],
];

module.exports = {
  name: 'growth',
  title: 'How cost grows',
  async run(bench) {
    const byWorkers = await overWorkers(bench);
    const byConnections = await overConnections(bench);
    const text = 'The master of this package with nothing to do: its processor time in ms a second, its resident ' +
      `memory, and medians of ${ANSWERS} answers of the monitor. `;
    return [
      { text: `${text}Workers, without connections:`, rows: tableOf('workers', byWorkers) },
      {
        text: `Idle connections to ${WORKERS_OF_CONNECTIONS} workers, each asked once before:`,
        rows: tableOf('connections', byConnections),
        charts: FIGURES.flatMap(([key, title]) => [
          { title, across: 'workers', points: pointsOf(byWorkers, key) },
          { title, across: 'connections', points: pointsOf(byConnections, key) },
        ]),
      },
    ];
  },
};

async function overWorkers(bench) {
  const found = [];
  for (const workers of bench.isQuick ? [1, 4, 16] : WORKERS) {
    const contestant = await startOne(bench, workers);
    found.push([workers, await look(contestant)]);
    await contestant.end();
  }
  return found;
}

async function overConnections(bench) {
  const contestant = await startOne(bench, WORKERS_OF_CONNECTIONS);
  const found = [];
  for (const clients of bench.isQuick ? [100, 1000] : CONNECTIONS) {
    const orders = { mode: 'idle', clients, seconds: 20, timeoutMs: 10_000 };
    const load = await Load.start({ port: contestant.port, ...orders });
    await load.opened();
    found.push([clients, await look(contestant)]);
    await load.close();
  }
  await contestant.end();
  return found;
}

async function startOne(bench, workers) {
  const env = { BENCH_OPTIONS: JSON.stringify({ monPort: await freePort() }) };
  return bench.start(bench.ours, { workers, env });
}

async function look(contestant) {
  await sleep(SETTLE_MS);
  const before = cpuMilliseconds(contestant.master);
  await sleep(IDLE_MS);
  const cpu = (cpuMilliseconds(contestant.master) - before) / IDLE_MS * 1000;
  const { rss } = memory(contestant.master);
  const time = async (path) => median((await askAgain(contestant.monitor, path, ANSWERS)).map(({ ms }) => ms));
  return { cpu, rss, metrics: await time('/metrics'), page: await time('/') };
}

function tableOf(name, found) {
  const head = [name, ...FIGURES.map(([, title]) => title)];
  return [head, ...found.map(([count, figures]) =>
    [String(count), ...FIGURES.map(([key, , digits]) => figures[key].toFixed(digits))])];
}

function pointsOf(found, key) {
  return found.map(([count, figures]) => [count, figures[key]]);
}
