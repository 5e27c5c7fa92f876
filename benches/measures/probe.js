// A health probe while every event loop, the master's included, is blocked: when does the balancer get its answer?
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { ask } = require('../lib/asking');
const { freePort } = require('../lib/contestants');
const { signal } = require('../lib/processes');
const { median, spread } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const WORKERS = 4;
const ROUNDS = 2;
const BLOCK_MS = 1000;
const BEFORE_MS = 100;
const SETTLE_MS = 300;

module.exports = {
  name: 'probe',
  title: 'Health probe while all loops are blocked',
  async run(bench) {
    const env = { BENCH_BLOCK_MS: String(BLOCK_MS), BENCH_OPTIONS: JSON.stringify({ monPort: await freePort() }) };
    const contestants = await bench.startAll(bench.clusters, { workers: WORKERS, env });
    const ours = contestants[0];
    const probes = [
      ...['/live', '/ready', '/ecv'].map((path) => ({ name: `${path} of our monitor`, contestant: ours, path })),
      ...contestants.map((contestant) => ({ name: `the app's port, ${contestant.name}`, contestant, path: null })),
    ];
    const results = await takeTurns(probes, bench.rounds(ROUNDS), probeBlocked);
    const rows = Object.entries(results).map(([name, times]) => {
      const [low, high] = spread(times).map((ms) => ms.toFixed(1));
      return [name, `${median(times).toFixed(1)} (${low} to ${high})`];
    });
    return [{
      text: `All ${WORKERS} workers are in a loop for ${BLOCK_MS / 1000} s, and the master's JavaScript too where ` +
        `it is ours or Node's; a probe comes ${BEFORE_MS} ms later. Node and PM2 have no other port to ask.`,
      rows: [['probe', 'ms'], ...rows],
    }];
  },
};

/** `path` is one of the monitor, or null: the application's port. */
async function probeBlocked({ contestant, path }) {
  const port = path === null ? contestant.port : contestant.monitor;
  const pids = contestant.workers();
  // PM2's daemon has no handler of this signal, which is ignored then.
  for (const pid of [contestant.master, ...pids]) signal(pid, 'SIGWINCH');
  const end = performance.now() + BLOCK_MS + SETTLE_MS;
  await sleep(BEFORE_MS);
  const { ms } = await ask(port, path ?? '/');
  await sleep(Math.max(0, end - performance.now()));
  return ms;
}
