// Hung workers: reported, with the stack of what they are stuck in, and replaced.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const {
  connectTo, died, isAlive, isRefused, makeDirectory, ready, reap, request, start, startCluster, underWay,
} = require('../support');
const { ask } = require('../support/control');

const HANG_MS = 1000;
const USUAL_DEBUGGING_PORT = 9229;

describe('a worker that hangs', () => {
  afterEach(reap);

  async function hang(options, act) {
    const program = await startCluster({ noWorkers: 2, hangTimeout: HANG_MS, ...options });
    const [victim] = program.workers;
    await act(program, victim);
    const { args: [pid, facts], role } = await program.line('hung');
    assert.deepEqual([pid, role], [victim, 'master']);
    assert.ok(facts.ms >= HANG_MS, JSON.stringify(facts));
    const { signal, reason } = await died(program, victim);
    assert.deepEqual([signal, reason], ['SIGKILL', 'its event loop hung, killed by SIGKILL']);
    assert.equal(program.seen('listening').length, 3, 'the successor listens first');
    assert.equal(program.seen('hung').length, 1);
    assert.equal((await request(program.port)).body, 'hello');
    return { program, facts };
  }

  it('is replaced, successor first', async () => {
    const { facts } = await hang({}, (program, victim) => underWay(program, victim, '/block'));
    assert.deepEqual(Object.keys(facts), ['ms']);
  });

  it('is told of with the JavaScript that it is stuck in, and leaves no debugging port', async () => {
    const { program, facts } = await hang({ captureStack: true },
      (_, victim) => underWay(_, victim, '/block'));
    assert.match(facts.stack, /^ {4}at block \(.*\/api-cluster\.js:\d+:\d+\)\n {4}at .*api-cluster/);
    const [, port] = /Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(program.stderr);
    assert.ok(await isRefused(Number(port)));
  });

  it('is told of like that after a reload too, whoever has the usual debugging port', async () => {
    const other = net.createServer().listen(USUAL_DEBUGGING_PORT, '127.0.0.1');
    // Somebody else may have it.
    await new Promise((resolve) => { other.once('listening', resolve).once('error', resolve); });
    try {
      const program = await startCluster({ noWorkers: 1, hangTimeout: HANG_MS, captureStack: true });
      const [old] = program.workers;
      program.kill('SIGUSR2');
      await died(program, old);
      const victim = program.seen('listening').at(-1).args[0];
      await underWay(program, victim, '/block');
      const { args: [pid, { stack }] } = await program.line('hung');
      assert.equal(pid, victim);
      assert.match(stack, /^ {4}at block /);
    } finally {
      other.close();
    }
  });

  it('does not wait for the drain of another worker', async () => {
    const program = await startCluster({ noWorkers: 2, hangTimeout: HANG_MS });
    const [drains, hangs] = program.workers;
    await underWay(program, drains, '/never');
    assert.deepEqual(await ask(program, 'recycle', { pid: drains }), { ok: true });
    await program.line(({ event, pid }) => event === 'draining' && pid === drains);
    await underWay(program, hangs, '/block');
    assert.equal((await died(program, hangs)).reason, 'its event loop hung, killed by SIGKILL');
    assert.ok(isAlive(drains));
  });

  it('is replaced without a stack when it is stopped', async () => {
    const { facts } = await hang({ captureStack: true }, (_, victim) => process.kill(victim, 'SIGSTOP'));
    assert.deepEqual(Object.keys(facts), ['ms']);
  });

  it('drains, and is not killed, if its loop turns again before its successor listens', async () => {
    const directory = makeDirectory();
    const hold = path.join(directory, 'hold');
    const options = { noWorkers: 1, hangTimeout: HANG_MS, keepAliveGrace: 50 };
    const program = await ready(start('held-boot', { options, env: { HOLD: hold }, cwd: directory }), 1);
    const [victim] = program.workers;
    fs.writeFileSync(hold, '');
    process.kill(victim, 'SIGSTOP');
    await program.line('hung');
    await program.line(({ event, pid }) => event === 'boots' && pid !== victim);
    process.kill(victim, 'SIGCONT');
    const connection = await underWay(program, victim, '/slow');
    fs.rmSync(hold);
    await connection.until(/slow$/);
    const { code, reason } = await died(program, victim);
    assert.deepEqual([code, reason], [0, 'its event loop hung, exit code 0']);
    await reap();
    fs.rmSync(directory, { recursive: true });
  });

  it('is not one that stands still for a shorter time', async () => {
    const program = await startCluster({ noWorkers: 2, hangTimeout: 3000 });
    const [busy] = program.workers;
    const connection = await connectTo(program.port, busy);
    await connection.get(`/block?${HANG_MS}`).until(/blocked$/);
    assert.deepEqual(program.seen('hung'), []);
    assert.deepEqual(program.seen('died'), []);
    connection.close();
  });
});
