// A worker is replaced, its successor first.
'use strict';

module.exports = {
  every: 1.5,
  draw: (random) => ({ whom: random.next() }),
  async run(target, { whom }) {
    const pid = target.choose(whom);
    if (pid !== undefined) await target.control('recycle', { pid });
  },
};
