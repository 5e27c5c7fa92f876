// SIGKILL of a worker, whatever it is doing; every other time its connections are noted first.
'use strict';

module.exports = {
  every: 0.8,
  draw: (random) => ({ whom: random.next(), isExact: random.chance(0.5) }),
  run(target, { whom, isExact }) {
    const pid = target.choose(whom);
    if (pid !== undefined) target.kill(pid, 'SIGKILL', isExact);
  },
};
