// A reload, by the control socket or by SIGUSR2. One that is not disturbed must succeed.
'use strict';

module.exports = {
  every: 3,
  draw: (random) => ({
    strategy: random.pick(['rolling', 'rolling', 'all-first']),
    isSignal: random.chance(0.2),
    restart: random.chance(0.2),
  }),
  async run(target, { strategy, isSignal, restart }, history) {
    if (isSignal) return void target.program.kill('SIGUSR2');
    const from = Date.now();
    const answer = await target.control('reload', { strategy, restart });
    if (answer) history.orders.push({ what: 'reload', from, to: Date.now(), ...answer });
  },
};
