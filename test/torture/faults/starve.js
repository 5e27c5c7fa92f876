// Processes that use all processors for a while.
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');

module.exports = {
  every: 8,
  share: 0.2,
  draw: (random) => ({ processes: random.whole(2, 6), ms: random.whole(200, 1500) }),
  async run(target, { processes, ms }, history) {
    const release = history.hold('all', 'no processor');
    const code = `for (const until = Date.now() + ${ms}; Date.now() < until;);`;
    const busy = Array.from({ length: processes }, () => spawn(process.execPath, ['-e', code], { stdio: 'ignore' }));
    await Promise.all(busy.map((child) => once(child, 'exit')));
    release();
  },
};
