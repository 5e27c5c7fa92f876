// node benches/run.js [short|keepalive] [--node FILE] [--rounds N] [--seconds N] [--connections N] [--workers N]
//
// Requests per second, latency and processor time of this package and of Node's own cluster, in its default and its
// shared mode. They take turns in one run, in an order that rotates, and are compared round by round, so that what
// else the machine does meets them all alike. --node (or BENCH_NODE) runs the servers on another Node; the load
// stays as it is.
'use strict';

const { execFileSync, fork } = require('node:child_process');
const path = require('node:path');
const { parseArgs } = require('node:util');

const { Contestant, names } = require('./lib/contestants');
const { median, spread } = require('./lib/statistics');

const MODES = ['short', 'keepalive'];

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      node: { type: 'string', default: process.env.BENCH_NODE ?? process.execPath },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      connections: { type: 'string', default: '40' },
      workers: { type: 'string', default: '2' },
    },
  });
  const modes = positionals.length > 0 ? positionals : MODES;
  const unknown = modes.find((mode) => !MODES.includes(mode));
  if (unknown) throw new Error(`unknown benchmark ${unknown}; there are ${MODES.join(' and ')}`);
  const plan = { node: values.node };
  for (const name of ['rounds', 'seconds', 'connections', 'workers']) plan[name] = Number(values[name]);
  for (const mode of modes) await measure(mode, plan);
}

async function measure(mode, plan) {
  const version = execFileSync(plan.node, ['--version'], { encoding: 'utf8' }).trim();
  console.log(`\n${mode}: Node ${version}, ${plan.workers} workers, ${plan.connections} clients, ` +
    `${plan.rounds} rounds of ${plan.seconds} s each`);
  const contestants = [];
  const results = Object.fromEntries(names.map((name) => [name, []]));
  try {
    for (const name of names) contestants.push(await Contestant.start(name, plan));
    // Machine code is made in the first second, and belongs to no round.
    for (const contestant of contestants) await load(contestant, { ...plan, mode, seconds: 1 });
    for (let round = 0; round < plan.rounds; round += 1) {
      for (let turn = 0; turn < contestants.length; turn += 1) {
        const contestant = contestants[(round + turn) % contestants.length];
        results[contestant.name].push(await load(contestant, { ...plan, mode }));
      }
    }
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.stop()));
  }
  report(results);
}

async function load(contestant, { mode, seconds, connections }) {
  const before = contestant.cpu();
  const client = fork(path.join(__dirname, 'lib', 'client.js'), { execArgv: [] });
  const result = await new Promise((resolve, reject) => {
    client.once('message', resolve);
    client.once('error', reject);
    client.once('exit', (code) => reject(new Error(`the load ended with ${code}`)));
    client.send({ port: contestant.port, mode, seconds, connections });
  });
  const after = contestant.cpu();
  const thousands = result.answered / 1000;
  result.masterCpu = (after.master - before.master) / thousands;
  result.workersCpu = (after.workers - before.workers) / thousands;
  return result;
}

function report(results) {
  const columns = [
    ['req/s', 'perSecond', 0], ['p50 ms', 'p50', 2], ['p99 ms', 'p99', 2], ['p99.9 ms', 'p999', 2],
    ['master CPU', 'masterCpu', 2], ['workers CPU', 'workersCpu', 1], ['client CPU', 'clientCpu', 1],
    ['busiest %', 'busiest', 1, 100],
  ];
  const head = ['', ...columns.map(([title]) => title), 'failed'];
  const rows = Object.entries(results).map(([name, rounds]) => [
    name,
    ...columns.map(([, key, digits, scale = 1]) => (median(rounds.map((round) => round[key])) * scale).toFixed(digits)),
    String(rounds.reduce((total, { failed }) => total + failed, 0)),
  ]);
  table([head, ...rows]);
  console.log('CPU: ms for 1,000 requests. All figures are medians of the rounds.');
  const [ours, ...others] = Object.keys(results);
  for (const other of others) {
    const ratio = (of) => results[ours].map((round, at) => of(round) / of(results[other][at]));
    console.log(`${ours} / ${other}: ${told(ratio(({ perSecond }) => perSecond))} of the requests, ` +
      `${told(ratio(({ masterCpu, workersCpu }) => masterCpu + workersCpu))} of the CPU for each`);
  }
}

// Rounds of the same number ran one after the other, so their ratio says more than that of two medians.
function told(ratios) {
  const [low, high] = spread(ratios);
  return `${median(ratios).toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])));
    console.log(cells.join('  '));
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
