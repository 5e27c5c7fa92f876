// The master may not fork for a while: its limit of processes is below what it has (RLIMIT_NPROC, so not for root).
'use strict';

const { spawnSync } = require('node:child_process');
const { setTimeout: after } = require('node:timers/promises');

module.exports = {
  every: 4,
  draw: (random) => ({ ms: random.whole(50, 1500) }),
  async run(target, { ms }, history) {
    if (!target.isUser) return;
    const { masterPid } = target;
    const shortage = { from: Date.now(), to: Infinity };
    history.shortages.push(shortage);
    limit(masterPid, 1);
    await after(ms);
    limit(masterPid, 'unlimited');
    shortage.to = Date.now();
  },
};

// The soft limit alone, so that it can be raised again.
function limit(pid, processes) {
  spawnSync('prlimit', ['--pid', pid, `--nproc=${processes}:`]);
}
