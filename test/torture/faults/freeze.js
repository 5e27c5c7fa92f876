// SIGSTOP of a worker, and SIGCONT later.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

module.exports = {
  every: 2,
  draw: (random) => ({ whom: random.next(), ms: random.whole(10, 4000) }),
  async run(target, { whom, ms }) {
    const pid = target.choose(whom);
    if (pid === undefined) return;
    const release = target.freeze(pid, pid);
    await after(ms);
    release();
  },
};
