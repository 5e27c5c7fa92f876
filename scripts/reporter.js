'use strict';

// The mocha reporter of `npm test`: shows what mocha's own reporter shows, and leaves the counts in a file,
// which no output of a tested program can imitate. MOCHA_TALLY names that file, MOCHA_SHOW the reporter to
// look like.

const fs = require('node:fs');
const { reporters, Runner } = require('mocha');

const Shown = process.env.MOCHA_SHOW === 'dot' ? reporters.Dot : reporters.Spec;

module.exports = class Tally extends Shown {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      const tally = { passed: passes, failed: failures, skipped: pending };
      fs.writeFileSync(process.env.MOCHA_TALLY, JSON.stringify(tally));
    });
  }
};
