// Sees to it that a run leaves nothing behind: no process, no file, also after Ctrl-C or a failure.
//
// Every process of a run, PM2's daemon included, inherits BENCH_RUN, by which it is found again and ended by its pid.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { processesWith, signal } = require('./processes');

const ROUNDS = 50;

/** The folder of this run, for pid files and the like. */
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-bench-'));
const run = path.basename(home);
const marker = `BENCH_RUN=${run}`;

/**
 * What each process of this run gets in its environment. Extra certificates are left out: Node 20 reads them in every
 * process, which takes longer than the rest of its start and would hide what differs.
 */
const environment = { BENCH_RUN: run, NODE_EXTRA_CA_CERTS: undefined };

let isOver = false;

/** Ends all that is left; a master could be forking just now, so it looks until nobody is there. */
function endAll() {
  if (isOver) return;
  isOver = true;
  for (let round = 0; round < ROUNDS; round += 1) {
    const left = processesWith(marker);
    if (left.length === 0) break;
    for (const pid of left) signal(pid, 'SIGKILL');
  }
  fs.rmSync(home, { recursive: true, force: true, maxRetries: 3 });
}

process.on('exit', endAll);
for (const [name, number] of [['SIGINT', 2], ['SIGTERM', 15], ['SIGHUP', 1]]) {
  process.once(name, () => process.exit(128 + number));
}

/** Ends what is left of one contestant, which has `name=value` in its environment. */
function endThose(name, value) {
  for (const pid of processesWith(`${name}=${value}`)) signal(pid, 'SIGKILL');
}

module.exports = { endThose, environment, home };
