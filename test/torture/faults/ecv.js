// Takes the cluster out of rotation, or puts it back.
'use strict';

module.exports = {
  every: 0.7,
  draw: (random) => ({ isEnabled: random.chance(0.6) }),
  async run(target, { isEnabled }, history) {
    const order = { from: Date.now(), to: Infinity, isEnabled, master: target.generation };
    history.switches.push(order);
    const answer = await target.control(isEnabled ? 'enable' : 'disable', {});
    if (answer?.ok) order.to = Date.now();
  },
};
