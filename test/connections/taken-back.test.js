// Connections that were handed to a worker which is stopped before it serves them.
'use strict';

const assert = require('node:assert/strict');

const { reap, request, start } = require('../support');

const CLIENTS = 40;
// What the master waits before it takes a connection back, and a busy machine.
const WITHIN_MS = 1500;

describe('a worker that is stopped', function () {
  this.timeout(60000);
  afterEach(reap);

  for (const scheduling of ['rr', 'slots']) {
    it(`keeps no new client waiting while others are idle (${scheduling})`, async () => {
      const program = start('lost-channel', { options: { noWorkers: 4, scheduling } });
      await program.lines('listening', 4);
      const { args: [port] } = await program.line('port');
      const stopped = program.seen('forked')[0].args[0];
      process.kill(stopped, 'SIGSTOP');
      try {
        const served = [];
        for (let client = 0; client < CLIENTS; client += 1) {
          served.push((await request(port, { within: WITHIN_MS })).body);
        }
        assert.ok(!served.includes(String(stopped)));
      } finally {
        process.kill(stopped, 'SIGCONT');
      }
      // It refuses what was taken back from it, and serves again.
      const pids = await Promise.all(Array.from({ length: CLIENTS }, async () => (await request(port)).body));
      assert.equal(pids.length, CLIENTS);
      assert.deepEqual(program.seen('died'), []);
    });
  }
});
