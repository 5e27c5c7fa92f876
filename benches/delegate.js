// node benches/delegate.js [--node FILE] [--rounds N] [--seconds N]
//
// Round trips a second of delegation, by messages and by promises, side by side with the same request and
// answer over the messages of Node's own cluster, with one request outstanding and with 32. The contestants
// take turns in one run and are compared round by round. --node (or BENCH_NODE) runs them on another Node.
'use strict';

const { execFileSync, fork } = require('node:child_process');
const path = require('node:path');
const fs = require('node:fs');
const os = require('node:os');
const { parseArgs } = require('node:util');

const { cpuMilliseconds } = require('./lib/processes');
const { median, spread } = require('./lib/statistics');

const NAMES = ['node', 'messages', 'promises'];
const OUTSTANDING = [1, 32];
const START_MS = 20000;

async function main() {
  const { values } = parseArgs({
    options: {
      node: { type: 'string', default: process.env.BENCH_NODE ?? process.execPath },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1' },
    },
  });
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  const version = execFileSync(values.node, ['--version'], { encoding: 'utf8' }).trim();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-'));
  const contestants = [];
  try {
    for (const name of NAMES) contestants.push(await startOne(name, values.node, directory));
    for (const outstanding of OUTSTANDING) {
      console.log(`\n${outstanding} outstanding: Node ${version}, ${rounds} rounds of ${seconds} s each`);
      // Machine code is made in the first second, and belongs to no round.
      for (const contestant of contestants) await ask(contestant, { outstanding, milliseconds: 1000 });
      const results = Object.fromEntries(NAMES.map((name) => [name, []]));
      for (let round = 0; round < rounds; round += 1) {
        for (let turn = 0; turn < contestants.length; turn += 1) {
          const contestant = contestants[(round + turn) % contestants.length];
          results[contestant.name].push(await ask(contestant, { outstanding, milliseconds: seconds * 1000 }));
        }
      }
      report(results);
    }
  } finally {
    await Promise.all(contestants.map(stop));
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function startOne(name, execPath, directory) {
  const cwd = path.join(directory, name);
  fs.mkdirSync(cwd);
  const options = { execPath, execArgv: [], cwd, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] };
  const child = fork(path.join(__dirname, 'lib/servers/asking.js'), [name], options);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name} did not start`)), START_MS);
    child.once('exit', (code, signal) => reject(new Error(`${name} ended with ${code ?? signal}`)));
    child.once('message', ({ pids }) => {
      clearTimeout(timer);
      resolve({ name, child, pids });
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

function report(results) {
  const of = (rounds, key) => median(rounds.map((round) => round[key]));
  for (const [name, rounds] of Object.entries(results)) {
    const [master, worker] = ['masterCpu', 'workerCpu'].map((key) => of(rounds, key).toFixed(2));
    const cpu = `CPU for 1,000: master ${master} ms, worker ${worker} ms`;
    const ratios = rounds.map(({ rate }, at) => rate / results.node[at].rate);
    const [low, high] = spread(ratios).map((ratio) => ratio.toFixed(2));
    const ratio = `${median(ratios).toFixed(2)} times Node's (rounds from ${low} to ${high})`;
    const compared = name === 'node' ? '' : `   ${ratio}`;
    console.log(`${name.padEnd(9)} ${of(rounds, 'rate').toFixed(0).padStart(7)} a second   ${cpu}${compared}`);
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
