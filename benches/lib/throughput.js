// What the measures of short and of kept connections have in common: as many requests as the contestants can answer,
// and what each costs.
'use strict';

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

/** Loads the contestants in turns; returns `{name: [findings]}`, flat and in the units of COLUMNS. */
async function loadInTurns(bench, contestants, { mode, rounds, seconds, clients }) {
  // Machine code is made in the first second, and belongs to no round.
  for (const contestant of contestants) await underLoad(contestant, { mode, clients, seconds: 1 });
  return takeTurns(contestants, bench.rounds(rounds), async (contestant) => {
    const findings = await underLoad(contestant, { mode, clients, seconds: bench.seconds(seconds) });
    const { p50, p99, p999 } = findings.latencyUs;
    return { ...findings, p50: p50 / 1000, p99: p99 / 1000, p999: p999 / 1000, busiest: findings.busiest * 100 };
  });
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

module.exports = { comparisonsOf, loadInTurns, ratiosOf, rowsOf };
