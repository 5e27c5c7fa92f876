// scale(): more workers, or fewer, without losing anything.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const {
  died, eventually, makeDirectory, masterEvents, ready, reap, request, start, startCluster,
} = require('../support');
const { ask } = require('../support/control');
const { Load } = require('../support/load');

const workersOf = (program) => program.processes().length - 1;

describe('scale()', () => {
  afterEach(reap);

  it('starts workers and sends them away, and resolves with what is wanted', async () => {
    const program = start('reload', { options: { noWorkers: 2, keepAliveGrace: 50 } });
    await ready(program, 2);
    const scale = async (workers) => {
      await request(program.port, { path: `/do?${encodeURIComponent(JSON.stringify(['scale', workers]))}` });
      const line = await program.line(({ event }) => event === 'done' || event === 'failed');
      return line.args[0];
    };
    assert.deepEqual(await scale(4), { wanted: 4 });
    await program.lines('listening', 4);
    assert.deepEqual(await scale('1'), { wanted: 1 });
    const lines = await program.lines('died', 3);
    for (const { args: [, { code, reason }] } of lines) {
      assert.equal(code, 0);
      assert.match(reason, /scaled down/);
    }
    for (const wrong of [0, -1, 0.5, 1025, 'many', null]) {
      const { code, message } = await scale(wrong);
      assert.equal(code, 'ERR_CLUSTER2_INVALID_OPTION');
      assert.match(message, /scale\.workers.*whole number from 1 to 1024/);
    }
    assert.equal(workersOf(program), 1);
    const { body } = await request(program.port, { path: '/here?scale' });
    assert.equal(JSON.parse(body).code, 'ERR_CLUSTER2_NOT_RUNNING');
  });

  it('comes by one with SIGTTIN and SIGTTOU, and never goes below one', async () => {
    const program = await startCluster({ noWorkers: 1, keepAliveGrace: 50 });
    program.kill('SIGTTIN');
    await program.lines('listening', 2);
    program.kill('SIGTTOU');
    await eventually(() => program.seen('died').length === 1);
    program.kill('SIGTTOU');
    assert.deepEqual(await ask(program, 'scale', { by: 0 }), { ok: true, wanted: 1 });
    assert.equal((await request(program.port)).body, 'hello');
    assert.deepEqual(masterEvents(program, 'forked', 'died'), ['forked', 'forked', 'died']);
  });

  it('is to be had on the control socket', async () => {
    const program = await startCluster({ noWorkers: 1, keepAliveGrace: 50 });
    assert.deepEqual(await ask(program, 'scale', { workers: 2 }), { ok: true, wanted: 2 });
    await program.lines('listening', 2);
    assert.equal((await ask(program, 'scale', { workers: 0 })).code, 'ERR_CLUSTER2_INVALID_OPTION');
  });

  it('lends no socket to a worker that was sent away before it asked for one', async () => {
    const directory = makeDirectory();
    const hold = path.join(directory, 'hold');
    const program = start('held-boot', { options: { noWorkers: 1 }, env: { HOLD: hold }, cwd: directory });
    const { args: [first] } = await program.line('serves');
    fs.writeFileSync(hold, '');
    await ask(program, 'scale', { workers: 2 });
    const { args: [late] } = await program.line(({ event, pid }) => event === 'boots' && pid !== first);
    await ask(program, 'scale', { workers: 1 });
    fs.rmSync(hold);
    assert.equal((await died(program, late)).code, 0);
    assert.deepEqual(program.seen('serves').map(({ pid }) => pid), [first]);
    await reap();
    fs.rmSync(directory, { recursive: true });
  });

  it('takes a slot back that was given up a moment ago, with its socket', async () => {
    const program = await startCluster({ noWorkers: 2, keepAliveGrace: 50 });
    for (let round = 1; round <= 5; round += 1) {
      await ask(program, 'scale', { workers: 1 });
      const [leaving] = program.seen('forked').slice(-1);
      await died(program, leaving.args[0]);
      await ask(program, 'scale', { workers: 2 });
      await program.lines('listening', 2 + round);
      for (let at = 0; at < 20; at += 1) assert.equal((await request(program.port)).body, 'hello');
    }
  });

  it('loses no request', async () => {
    const program = start('torture', { options: { noWorkers: 1, keepAliveGrace: 300, recycleTimeout: 5000 } });
    await ready(program, 3);
    const load = new Load(program, ['short', 'thinking', 'pipelined', 'upload']);
    await load.flows();
    for (let round = 1; round <= 2; round += 1) {
      await ask(program, 'scale', { workers: 3 });
      await program.lines('listening', 3 + round * 6);
      await ask(program, 'scale', { workers: 1 });
      await program.lines('died', round * 2);
    }
    await load.flows();
    await load.stop();
    assert.deepEqual(load.losses, []);
  });
});
