// The event loop of a worker stands still.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

const { askFor } = require('./ask-for');

module.exports = {
  every: 2,
  draw: (random) => ({ ms: random.whole(10, 3000) }),
  async run(target, { ms }, history) {
    const pid = await askFor(target, 'block', ms);
    if (pid === undefined) return;
    const goesOn = history.hold(pid, 'blocked', target.clientsOf(pid));
    await after(ms);
    goesOn();
  },
};
