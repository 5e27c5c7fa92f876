// SIGTERM and SIGINT: to one worker, to the master, to both at once as a terminal does it, and twice.
'use strict';

const assert = require('node:assert/strict');
const { setImmediate } = require('node:timers/promises');

const {
  connectTo, died, eventually, freePort, masterEvents, reap, refused, request, start, startCluster, underWay,
} = require('../support');
const { ask } = require('../support/control');

for (const signal of ['SIGTERM', 'SIGINT']) {
  describe(`${signal} to one worker`, () => {
    afterEach(reap);

    it('is emitted in it; it answers what is under way, exits with 0 and is not replaced', async () => {
      const program = await startCluster({ keepAliveGrace: 50 });
      const [leaver, other] = program.workers;
      const busy = await underWay(program, leaver, '/hold');
      process.kill(leaver, signal);
      const { pid, args } = await program.line(signal);
      assert.equal(pid, leaver);
      assert.deepEqual(args, [{ pid: leaver, type: 'worker' }]);
      await program.line('draining');
      process.kill(leaver, 'SIGUSR2');
      assert.match((await busy.until(/\r\n\r\nheld$/)).input, /connection: close/i);
      const facts = await died(program, leaver);
      assert.deepEqual([facts.code, facts.signal], [0, null]);
      assert.equal((await request(program.port, { path: '/pid' })).body, String(other));
      // Had it been replaced, the death of the other one would make four.
      process.kill(other, 'SIGKILL');
      await program.lines('listening', 3);
      assert.equal(program.seen('forked').length, 3);
      assert.equal(program.seen(signal).length, 1);
    });
  });

  describe(`${signal} to the master`, () => {
    afterEach(reap);

    for (const toGroup of [false, true]) {
      const how = toGroup ? 'and to its workers at once, as Ctrl-C does, ' : '';
      it(`${how}shuts the cluster down without losing a request`, async () => {
        const program = await startCluster({ keepAliveGrace: 100 });
        const [first, second] = program.workers;
        const idle = await connectTo(program.port, first);
        const busy = [await underWay(program, first, '/hold'), await underWay(program, second, '/hold')];
        if (toGroup) program.killGroup(signal);
        else program.kill(signal);

        const { args } = await program.line(({ event, role }) => event === signal && role === 'master');
        assert.deepEqual(args, signal === 'SIGTERM' ? [{ pid: program.pid, type: 'master' }] : []);
        await refused(program.port);
        assert.ok(program.isRunning);
        await program.lines('draining', 2);
        await idle.ended();
        for (const pid of program.workers) process.kill(pid, 'SIGUSR2');
        for (const connection of busy) {
          assert.match((await connection.until(/\r\n\r\nheld$/)).input, /connection: close/i);
        }
        assert.deepEqual(await program.exit(), { code: 0, signal: null });
        for (const worker of program.workers) {
          const facts = await died(program, worker);
          assert.deepEqual([facts.code, facts.signal, facts.reason], [0, null, 'shut down, exit code 0']);
          const inWorker = program.seen((line) => line.pid === worker && /^SIG/.test(line.event));
          assert.deepEqual(inWorker.map(({ event }) => event), [signal]);
          assert.equal(program.seen((line) => line.event === 'close' && line.pid === worker).length, 1);
        }
        assert.equal(program.seen('forked').length, 2);
        assert.deepEqual(program.files('pids'), []);
        await program.gone();
      });
    }

    it('a second time, a second or more later, ends everything at once', async () => {
      const program = await startCluster({ noWorkers: 1 });
      await underWay(program, program.workers[0], '/never');
      const firstAt = Date.now();
      program.kill(signal);
      // Repeated all the while: those of the first second change nothing.
      await eventually(() => {
        if (program.isRunning) program.kill(signal);
        return !program.isRunning;
      }, { within: 5000 });
      const took = Date.now() - firstAt;
      assert.ok(took >= 990 && took < 3000, `ended after ${took} ms`);
      const { code } = await program.exit();
      assert.equal(code, signal === 'SIGTERM' ? 143 : 130);
      await program.gone({ within: 1000 });
    });
  });
}

describe('a shutdown while a worker starts', () => {
  afterEach(reap);

  it('lets that worker go too, in silence', async () => {
    const options = { port: await freePort(), keepAliveGrace: 50 };
    const program = start('api-shapes', { args: ['late'], options, env: { SHUTDOWN_ON_LISTENING: '1' } });
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.deepEqual(program.seen('died').map(({ args: [, { code }] }) => code), [0, 0]);
    assert.equal(program.stderr, '');
  });

  it('begins with the first signal, also in the moment when the first worker is forked', async () => {
    for (let round = 0; round < 3; round += 1) {
      const program = start('api-shapes', { args: ['async'], options: { port: await freePort(), noWorkers: 1 } });
      while (!program.files('pids').some((name) => name.startsWith('worker.'))) await setImmediate();
      program.kill();
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.deepEqual(program.files('pids'), []);
    }
  });
});

describe('a request that comes on an open connection during the shutdown', () => {
  afterEach(reap);

  it('is answered with Connection: close', async () => {
    const program = await startCluster({ noWorkers: 1, keepAliveGrace: 5000 });
    const connection = await connectTo(program.port, program.workers[0]);
    program.kill('SIGTERM');
    await program.line('draining');
    connection.get('/');
    assert.match((await connection.until(/\r\n\r\nhello$/)).input, /connection: close/i);
    assert.deepEqual(await program.exit({ within: 3000 }), { code: 0, signal: null });
  });
});

describe('a shutdown that is asked for by a signal and by another process', () => {
  afterEach(reap);

  // The command sends the signal where the control socket does not answer.
  for (const isStopped of [true, false]) {
    it(`is told of once${isStopped ? ', also by a master that was stopped meanwhile' : ''}`, async () => {
      const program = await startCluster({ keepAliveGrace: 50 });
      if (isStopped) program.kill('SIGSTOP');
      const answered = ask(program, 'shutdown');
      if (!isStopped) assert.ok((await answered).ok);
      program.kill('SIGTERM');
      if (isStopped) program.kill('SIGCONT');
      assert.ok((await answered).ok);
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.deepEqual(masterEvents(program, 'SIGTERM'), ['SIGTERM']);
    });
  }
});
