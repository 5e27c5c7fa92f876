// More or fewer workers, by the control socket.
'use strict';

module.exports = {
  every: 2,
  draw: (random) => ({ workers: random.whole(1, 6) }),
  async run(target, { workers }) {
    const answer = await target.control('scale', { workers });
    if (answer?.ok) target.wanted = workers;
  },
};
