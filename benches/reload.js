// node benches/reload.js [--node FILE] [--rounds N] [--workers N] [--load none|short|keepalive]
//
// How long it takes to replace all workers: reload() of this package, and the loop that one writes with Node's
// own cluster (fork, wait for 'listening', disconnect the old worker, wait for its exit, one after the other).
// They take turns. With `--load short` eight clients keep asking on new connections; with `keepalive` eight
// connections stay open.
'use strict';

const { fork } = require('node:child_process');
const http = require('node:http');
const path = require('node:path');
const { parseArgs } = require('node:util');

const { median, spread } = require('./lib/statistics');

const NAMES = { 'cluster2-rs': 'reload-cluster2.js', 'node loop': 'reload-node.js' };
const CLIENTS = 8;
const PAUSE_MS = 5;
// Node's loop waits for connections that clients keep open; what takes longer is not waited for.
const LONGEST_MS = 60_000;

class Contestant {
  #child;
  #heard = () => {};
  port = 0;
  times = [];

  static async start(script, { node, workers }) {
    const contestant = new Contestant();
    contestant.#child = fork(path.join(__dirname, 'lib', script), {
      execPath: node,
      execArgv: [],
      env: { ...process.env, BENCH_WORKERS: String(workers) },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    contestant.#child.on('message', (message) => contestant.#heard(message));
    contestant.port = (await contestant.#hear()).port;
    return contestant;
  }

  async reload() {
    const answer = this.#hear();
    this.#child.send('reload');
    this.times.push((await answer).ms);
  }

  stop() {
    return new Promise((resolve) => {
      this.#child.once('exit', resolve);
      this.#child.kill('SIGKILL');
    });
  }

  #hear() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('it takes too long')), LONGEST_MS);
      this.#heard = (message) => {
        clearTimeout(timer);
        resolve(message);
      };
    });
  }
}

// Asks again and again until `stop` is called; failures are the other programs' subject.
function startLoad(port, kind) {
  const agent = new http.Agent({ keepAlive: kind === 'keepalive', maxSockets: CLIENTS });
  let isOver = kind === 'none';
  const ask = () => {
    if (isOver) return;
    const again = () => setTimeout(ask, PAUSE_MS);
    const request = http.get({ host: '127.0.0.1', port, agent }, (response) => response.resume().on('close', again));
    request.on('error', again);
  };
  for (let at = 0; at < CLIENTS; at += 1) ask();
  return () => {
    isOver = true;
    agent.destroy();
  };
}

async function main() {
  const { values } = parseArgs({
    options: {
      node: { type: 'string', default: process.env.BENCH_NODE ?? process.execPath },
      rounds: { type: 'string', default: '7' },
      workers: { type: 'string', default: '4' },
      load: { type: 'string', default: 'none' },
    },
  });
  const contestants = {};
  for (const [name, script] of Object.entries(NAMES)) contestants[name] = await Contestant.start(script, values);
  try {
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const contestant of Object.values(contestants)) {
        const stop = startLoad(contestant.port, values.load);
        await contestant.reload();
        stop();
      }
    }
  } finally {
    await Promise.all(Object.values(contestants).map((contestant) => contestant.stop()));
  }
  for (const [name, { times }] of Object.entries(contestants)) {
    console.log(`${name.padEnd(12)} median ${median(times).toFixed(0)} ms  ${JSON.stringify(spread(times))}`);
  }
  const [ours, loop] = Object.values(contestants).map(({ times }) => times);
  const ratios = ours.map((ms, at) => ms / loop[at]);
  console.log(`${values.workers} workers, load ${values.load}: ${median(ratios).toFixed(2)} times Node's loop`);
}

main();
