// What the measures of short and of kept connections have in common: as many requests as the contestants can answer,
// and what each costs.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { underLoad } = require('./load');
const { compare, median, ratio, sum } = require('./statistics');
const { takeTurns } = require('./turns');

const COLUMNS = [
  ['req/s', 'perSecond', 0],
  ['p50 ms', 'p50', 2],
  ['p99 ms', 'p99', 2],
  ['p99.9 ms', 'p999', 2],
  ['master CPU', 'masterCpu', 2],
  ['workers CPU', 'workersCpu', 1],
  ['client CPU', 'clientCpu', 1],
  ['busiest %', 'busiest', 1],
];

// One start of a program may be faster than another by more than anything that is measured here (where its memory lies,
// what its compiler chose to optimise), so rounds are spread over several.
const STARTS = 3;
// 8 s after a start V8 collects all garbage of a process that is idle, if it has grown by a megabyte, as every server
// has that is more than the bare one measured here. What is measured comes after that.
const GROWN_UP_MS = 9500;
const ROUNDS = 2;
const SECONDS = 1.2;
// Machine code is made in the first seconds of load, and goes when a process is idle while others have their turn: so
// each turn begins with a load that is not measured.
const WARM_SECONDS = 2;
const CLIENTS = 40;
const WORKERS = 2;
// As many as workers: a load of one thread shares one of two cores with one worker, and the other answers more.
const THREADS = 2;

const ORDERS = { clients: CLIENTS, threads: THREADS };

/**
 * The measure of one mode of the load: `what` the clients do, in words, and the `causes` for which we may be behind, by
 * figure.
 */
function throughput({ name, title, mode, what, causes }) {
  return {
    name,
    title,
    async run(bench) {
      const begin = () => bench.startAll(bench.everyone, { workers: WORKERS });
      const { results, rounds } = await loadInTurns(bench, mode, begin);
      return [
        {
          text: `${WORKERS} workers, ${CLIENTS} ${what}; the load has ${THREADS} threads. Medians of ${rounds}; ` +
            'CPU is ms for 1,000 requests; busiest is the share of the worker that answered most.',
          rows: rowsOf(results),
        },
        {
          text: 'Ratios of the rounds: the median, and the lowest and highest.',
          rows: ratiosOf(results),
          comparisons: comparisonsOf(results, causes),
        },
      ];
    },
  };
}

/**
 * Loads contestants in turns, anew for each of some starts by `begin()`; gives `results`, `{name: [findings]}`, flat
 * and in the units of COLUMNS, and `rounds`, their number in words.
 */
async function loadInTurns(bench, mode, begin) {
  const starts = bench.isQuick ? 1 : STARTS;
  const rounds = bench.rounds(ROUNDS);
  const results = {};
  for (let start = 0; start < starts; start += 1) {
    const contestants = await begin();
    await sleep(bench.isQuick ? 0 : GROWN_UP_MS);
    const found = await takeTurns(contestants, rounds, (contestant) => loadOnce(bench, mode, contestant));
    for (const [name, findings] of Object.entries(found)) (results[name] ??= []).push(...findings);
    for (const contestant of contestants) await contestant.end();
  }
  return { results, rounds: `${starts * rounds} rounds, in ${starts} starts of each` };
}

async function loadOnce(bench, mode, contestant) {
  await underLoad(contestant, { ...ORDERS, mode, seconds: bench.seconds(WARM_SECONDS) });
  const findings = await underLoad(contestant, { ...ORDERS, mode, seconds: bench.seconds(SECONDS) });
  const { p50, p99, p999 } = findings.latencyUs;
  return { ...findings, p50: p50 / 1000, p99: p99 / 1000, p999: p999 / 1000, busiest: findings.busiest * 100 };
}

/** The rows of a table: medians of the rounds. */
function rowsOf(results) {
  const rows = Object.entries(results).map(([name, rounds]) => [
    name,
    ...COLUMNS.map(([, key, digits]) => median(rounds.map((round) => round[key])).toFixed(digits)),
    String(sum(rounds.map(({ failures }) => failures))),
  ]);
  return [['', ...COLUMNS.map(([title]) => title), 'failed'], ...rows];
}

/** How the first fares against each other one, as rows of a table. */
function ratiosOf(results) {
  const [ours, ...others] = Object.keys(results);
  const of = (name, key) => results[name].map(key);
  const cpu = ({ masterCpu, workersCpu }) => masterCpu + workersCpu;
  const rows = others.map((other) => [
    `${ours} / ${other}`,
    ratio(of(ours, ({ perSecond }) => perSecond), of(other, ({ perSecond }) => perSecond)),
    ratio(of(ours, ({ p99 }) => p99), of(other, ({ p99 }) => p99)),
    ratio(of(ours, cpu), of(other, cpu)),
  ]);
  return [['', 'req/s', 'p99', 'CPU for a request'], ...rows];
}

/** The same, for the list of what we are behind in. */
function comparisonsOf(results, causes) {
  const [ours, ...others] = Object.keys(results);
  const of = (name, key) => results[name].map((one) => one[key]);
  const figures = [['req/s', 'perSecond', 'higher'], ['p99', 'p99', 'lower'], ['workers\' CPU', 'workersCpu', 'lower']];
  return others.flatMap((peer) => figures.map(([what, key, better]) =>
    compare(what, peer, of(ours, key), of(peer, key), { better, cause: causes[key] })));
}

module.exports = { CLIENTS, WORKERS, loadInTurns, throughput };
