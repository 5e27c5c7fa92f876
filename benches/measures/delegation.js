// Round trips of delegation, by messages and by promises, beside the same question and answer over the messages of
// Node's own cluster, with one request outstanding and with 32.
'use strict';

const { fork } = require('node:child_process');
const path = require('node:path');

const { environment, home } = require('../lib/ending');
const { cpuMilliseconds } = require('../lib/processes');
const { compare, median, ratio } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const KINDS = { node: 'Node\'s messages', messages: 'cluster2\'s messages', promises: 'promises' };
const CAUSE = 'a message passes through a thread of ours, is checked and matched with its answer, and times out; ' +
  'Node\'s bare messages do none of that';
const OUTSTANDING = [1, 32];
const ROUNDS = 3;
const SECONDS = 0.7;
const START_MS = 20_000;

module.exports = {
  name: 'delegation',
  title: 'Delegation',
  async run(bench) {
    const contestants = [];
    try {
      for (const kind of Object.keys(KINDS)) contestants.push(await startOne(kind, bench.node));
      const [rows, comparisons] = [[], []];
      for (const outstanding of OUTSTANDING) {
        const results = await askInTurns(bench, contestants, outstanding);
        rows.push(...rowsOf(results, outstanding));
        comparisons.push(...comparisonsOf(results, outstanding));
      }
      return [{
        text: 'A worker asks and the master answers. CPU is ms for 1,000 round trips; medians of ' +
          `${bench.rounds(ROUNDS)} rounds, ratios of the rounds to Node's messages.`,
        rows: [['', 'outstanding', 'a second', 'master CPU', 'worker CPU', 'ratio'], ...rows],
        comparisons,
      }];
    } finally {
      await Promise.all(contestants.map(stop));
    }
  },
};

async function askInTurns(bench, contestants, outstanding) {
  // Machine code is made in the first second, and belongs to no round.
  for (const contestant of contestants) await ask(contestant, { outstanding, milliseconds: 700 });
  const milliseconds = bench.seconds(SECONDS) * 1000;
  return takeTurns(contestants, bench.rounds(ROUNDS), (one) => ask(one, { outstanding, milliseconds }));
}

function rowsOf(results, outstanding) {
  const of = (name, key) => results[name].map((one) => one[key]);
  return Object.keys(results).map((name) => [
    name,
    String(outstanding),
    median(of(name, 'rate')).toFixed(0),
    median(of(name, 'masterCpu')).toFixed(1),
    median(of(name, 'workerCpu')).toFixed(1),
    name === KINDS.node ? '' : ratio(of(name, 'rate'), of(KINDS.node, 'rate')),
  ]);
}

function comparisonsOf(results, outstanding) {
  const rates = (name) => results[name].map(({ rate }) => rate);
  return Object.keys(results).filter((name) => name !== KINDS.node).map((name) =>
    compare(`${name}, ${outstanding} outstanding`, KINDS.node, rates(name), rates(KINDS.node),
      { better: 'higher', cause: CAUSE }));
}

function startOne(kind, node) {
  const child = fork(path.join(__dirname, '../lib/servers/delegating.js'), [kind], {
    execPath: node,
    execArgv: [],
    cwd: home,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${kind} did not start`)), START_MS);
    child.once('exit', (code, signal) => reject(new Error(`${kind} ended with ${code ?? signal}`)));
    child.once('message', ({ pids }) => {
      clearTimeout(timer);
      resolve({ name: KINDS[kind], child, pids });
    });
  });
}

async function ask({ child, pids }, order) {
  const [master, worker] = pids;
  const before = [cpuMilliseconds(master), cpuMilliseconds(worker)];
  const { rate } = await new Promise((resolve) => {
    child.once('message', resolve);
    child.send(order);
  });
  const thousands = (rate * order.milliseconds) / 1e6;
  return {
    rate,
    masterCpu: (cpuMilliseconds(master) - before[0]) / thousands,
    workerCpu: (cpuMilliseconds(worker) - before[1]) / thousands,
  };
}

// Its worker goes with it.
function stop({ child }) {
  return new Promise((resolve) => {
    child.removeAllListeners('exit');
    child.once('exit', resolve);
    child.kill('SIGKILL');
  });
}
