// SIGSTOP of the master, and SIGCONT later.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

module.exports = {
  every: 4,
  share: 0.25,
  draw: (random) => ({ ms: random.whole(10, 2500) }),
  async run(target, { ms }) {
    if (!target.isUp) return;
    const release = target.freeze(target.masterPid, 'master');
    await after(ms);
    release();
  },
};
