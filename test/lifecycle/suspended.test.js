// Everything is stopped for a while, as `docker pause` does.
'use strict';

const assert = require('node:assert/strict');
const { setTimeout: after } = require('node:timers/promises');

const { reap, start } = require('../support');

// Longer than `startTimeout`, and all that is waited for: the time in which nothing runs.
const STOPPED_MS = 6000;

describe('a cluster that is stopped as a whole and goes on', function () {
  this.timeout(40000);
  afterEach(reap);

  it('counts the time against no worker that was booting', async () => {
    const program = start('slow-boot', { options: { noWorkers: 2, startTimeout: 5000 } });
    await program.lines('boots', 2);
    program.killGroup('SIGSTOP');
    await after(STOPPED_MS);
    program.killGroup('SIGCONT');
    await program.lines('listening', 2);
    assert.deepEqual(program.seen('died'), []);
  });
});
