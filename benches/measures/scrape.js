// The monitor's answers: metrics, JSON and page, in peace, under load, and while every event loop is blocked.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { askAgain } = require('../lib/asking');
const { freePort } = require('../lib/contestants');
const { Load, underLoad } = require('../lib/load');
const { cpuMilliseconds, signal } = require('../lib/processes');
const { median } = require('../lib/statistics');

const WORKERS = 4;
const COUNT = 100;
const PATHS = ['/metrics', '/status.json', '/'];
const BLOCK_MS = 2500;
const LOAD = { mode: 'kept', clients: 40, seconds: 20 };

module.exports = {
  name: 'scrape',
  title: 'Scrape of metrics',
  async run(bench) {
    const env = { BENCH_BLOCK_MS: String(BLOCK_MS), BENCH_OPTIONS: JSON.stringify({ monPort: await freePort() }) };
    const contestant = await bench.start(bench.ours, { workers: WORKERS, env });
    // Rows with something in them.
    await underLoad(contestant, { ...LOAD, seconds: 0.5 });
    const idle = await scrape(contestant);
    const load = await Load.start({ port: contestant.port, ...LOAD });
    const busy = await scrape(contestant);
    await load.finish();
    for (const pid of contestant.workers()) signal(pid, 'SIGWINCH');
    await sleep(50);
    const blocked = await scrape(contestant);
    const rows = PATHS.map((path) => [
      path,
      (idle[path].bytes / 1024).toFixed(1),
      ...[idle, busy, blocked].map((answers) => answers[path].ms.toFixed(2)),
      idle[path].cpu.toFixed(2),
    ]);
    return [{
      text: `${WORKERS} workers; medians of ${COUNT} answers on one connection, asked by Node; CPU is ms of the ` +
        'master for one answer. Under load: both cores busy with requests on kept connections. Blocked: every ' +
        'worker in a loop.',
      rows: [['', 'kB', 'idle ms', 'under load ms', 'blocked ms', 'CPU ms'], ...rows],
    }];
  },
};

async function scrape(contestant) {
  const found = {};
  for (const path of PATHS) {
    const before = cpuMilliseconds(contestant.master);
    const answers = await askAgain(contestant.monitor, path, COUNT);
    const cpu = (cpuMilliseconds(contestant.master) - before) / COUNT;
    found[path] = { ms: median(answers.map(({ ms }) => ms)), bytes: answers[0].bytes, cpu };
  }
  return found;
}
