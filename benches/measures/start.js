// From the start of the master until all its workers listen; then the memory of each, and what the master does when
// there is nothing to do.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { cpuMilliseconds } = require('../lib/processes');
const { compare, median, ratio } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const COUNTS = [2, 4, 8, 16, 32, 64];
const ROUNDS = 3;
// The start of many takes so long that it needs no further round to be told from chance.
const ROUNDS_OF_MANY = { 32: 2, 64: 1 };
// PM2 takes seconds for each dozen.
const MOST_OF_PM2 = 16;
const SETTLE_MS = 300;
const IDLE_AT = 64;
const CAUSES = {
  ms: 'every worker loads the addon and the package, which Node\'s own cluster has compiled in',
  master: 'the addon, its thread and the package\'s JavaScript are in the master',
  pss: 'the addon and the package\'s JavaScript are in each worker',
};
const CALM_MS = 1500;
const IDLE_MS = 4000;

module.exports = {
  name: 'start',
  title: 'Start, memory and idle master',
  async run(bench) {
    const kinds = bench.clusters.filter((kind) => kind !== 'Node shared').map((name) => ({ name }));
    const names = kinds.map(({ name }) => name);
    const counts = bench.isQuick ? COUNTS.slice(0, 2).concat(IDLE_AT) : COUNTS;
    const times = [['workers', ...names.map((name) => `${name} ms`), `${bench.ours} / Node default`]];
    const sizes = [['workers', ...names.map((name) => `${name}: master`), ...names.map((name) => `${name}: worker`)]];
    let idle;
    const comparisons = [];
    for (const count of counts) {
      const rounds = bench.rounds(ROUNDS_OF_MANY[count] ?? ROUNDS);
      const those = kinds.filter(({ name }) => name !== 'PM2' || count <= MOST_OF_PM2);
      const results = await takeTurns(those, rounds, ({ name }) => startOne(bench, name, count));
      const of = (name, key) => results[name].map((one) => one[key]);
      const middle = (key, digits) =>
        names.map((name) => (results[name] ? median(of(name, key)).toFixed(digits) : '-'));
      times.push([String(count), ...middle('ms', 0), ratio(of(bench.ours, 'ms'), of('Node default', 'ms'))]);
      sizes.push([String(count), ...middle('master', 1), ...middle('pss', 1)]);
      const figures = [['start', 'ms'], ['master\'s memory', 'master'], ['worker\'s memory', 'pss']];
      comparisons.push(...those.slice(1).flatMap(({ name }) => figures.map(([what, key]) =>
        compare(`${what}, ${count} workers`, name, of(bench.ours, key), of(name, key), { cause: CAUSES[key] }))));
      if (count === IDLE_AT) idle = Object.keys(results).map((name) => [name, of(name, 'idle')[0].toFixed(3)]);
    }
    return [
      {
        text: 'From the start of the master (PM2: from the order to its daemon) until the last worker listens: ms. ' +
          `PM2 is started with at most ${MOST_OF_PM2}, which take it long enough.`,
        rows: times,
      },
      {
        text: 'Memory in MB once all listen: the resident memory of the master, and the proportional memory (PSS) of ' +
          'a worker on average.',
        rows: sizes,
      },
      {
        text: `The master's processor time with ${IDLE_AT} workers when nothing happens, in percent of one core, ` +
          `over ${IDLE_MS / 1000} s.`,
        rows: [['', '% of a core'], ...idle],
        comparisons,
      },
    ];
  },
};

async function startOne(bench, kind, workers) {
  const contestant = await bench.start(kind, { workers });
  await sleep(SETTLE_MS);
  const figures = { ms: contestant.startMilliseconds(), ...contestant.memory() };
  if (workers === IDLE_AT) {
    await sleep(CALM_MS);
    const before = cpuMilliseconds(contestant.master);
    await sleep(IDLE_MS);
    figures.idle = (cpuMilliseconds(contestant.master) - before) / IDLE_MS * 100;
  }
  await contestant.end();
  return figures;
}
