// Everything is stopped for a while, as `docker pause` does.
'use strict';

const assert = require('node:assert/strict');
const { setTimeout: after } = require('node:timers/promises');

const { connect, connectTo, reap, refused, start, startCluster } = require('../support');
const { ask } = require('../support/control');

// Longer than what is bounded meanwhile, and all that is waited for: the time in which nothing runs.
const STOPPED_MS = 6000;

async function suspend(program) {
  program.killGroup('SIGSTOP');
  await after(STOPPED_MS);
  program.killGroup('SIGCONT');
}

describe('a cluster that is stopped as a whole and goes on', function () {
  this.timeout(40000);
  afterEach(reap);

  it('counts the time against no worker that was booting, and shows later times as they are', async () => {
    const program = start('slow-boot', { options: { noWorkers: 2, startTimeout: 5000 } });
    await program.lines('boots', 2);
    await suspend(program);
    const [{ args: [victim] }] = await program.lines('listening', 2);
    assert.deepEqual(program.seen('died'), []);
    process.kill(victim, 'SIGKILL');
    const { args: [pid], at } = (await program.lines('forked', 3))[2];
    const worker = (await ask(program, 'status')).workers.find((one) => one.pid === pid);
    for (const time of [worker.forkedAt, worker.since]) {
      assert.ok(Math.abs(Date.parse(time) - at) < 1000, `${time} is not ${new Date(at).toISOString()}`);
    }
  });

  it('resets no client that waits in a queue when it is told to end', async () => {
    const program = await startCluster({ noWorkers: 2 });
    const busy = await Promise.all(program.workers.map((pid) => connectTo(program.port, pid)));
    for (const connection of busy) connection.get('/block?1500');
    await program.lines(({ event, args }) => event === 'request' && args[0] === '/block?1500', 2);
    const waiting = await Promise.all(Array.from({ length: 8 }, () => connect(program.port)));
    for (const connection of waiting) connection.get();
    program.kill('SIGTERM');
    await refused(program.port);
    await suspend(program);
    for (const connection of waiting) await connection.until(/hello$/);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });
});
