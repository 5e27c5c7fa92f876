// The master has no descriptor left for a while.
'use strict';

const { askFor } = require('./ask-for');

module.exports = {
  every: 5,
  share: 0.25,
  draw: (random) => ({ ms: random.whole(100, 2000) }),
  run: (target, { ms }) => askFor(target, 'hog', ms),
};
