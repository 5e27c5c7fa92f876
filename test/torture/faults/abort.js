// A worker calls process.abort().
'use strict';

const { askFor } = require('./ask-for');

module.exports = {
  every: 2,
  async run(target) {
    const pid = await askFor(target, 'abort', 1);
    if (pid !== undefined) target.killing(pid, 'abort');
  },
};
