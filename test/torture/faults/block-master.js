// The master's JavaScript stands still; supervision must not.
'use strict';

const { askFor } = require('./ask-for');

module.exports = {
  every: 3,
  draw: (random) => ({ ms: random.whole(10, 3000) }),
  run: (target, { ms }) => askFor(target, 'block-master', ms),
};
