// Spares: workers that have booted and wait for one that serves to die.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const {
  connect, connectTo, died, eventually, freePort, makeDirectory, masterEvents, ready, reap, request, start,
  startCluster,
} = require('../support');
const { ask } = require('../support/control');

// A machine that many share is slow at everything; a spare that had to be started would take far longer.
const SOON_MS = Number(process.env.CLUSTER2_TAKE_OVER_MS ?? 1000);

const pidOf = ({ args: [pid] }) => pid;
const answerer = async (port) => Number((await request(port, { path: '/pid' })).body);

async function startWithSpares(options, rest) {
  const program = await startCluster({ noWorkers: 1, spares: 1, keepAliveGrace: 50, ...options }, rest);
  const spares = await program.lines('spare', options?.spares ?? 1);
  return Object.assign(program, { spares: spares.map(pidOf) });
}

describe('spares', () => {
  afterEach(reap);

  it('have run createApp, do not listen, and are shown apart from the workers that do', async () => {
    const program = await startWithSpares({ noWorkers: 2, spares: 2 });
    const made = program.seen(({ event, role }) => event === 'createApp' && role === 'worker').map(({ pid }) => pid);
    assert.deepEqual(made.sort(), [...program.workers, ...program.spares].sort());
    assert.equal(program.seen('listening').length, 2);
    const { wanted, workers, state } = await ask(program, 'status');
    const shown = workers.map((worker) => [worker.pid, worker.state, worker.slot === null]);
    const served = program.workers.map((pid) => [pid, 'serving', false]);
    assert.deepEqual(shown.sort(), [...served, ...program.spares.map((pid) => [pid, 'spare', true])].sort());
    assert.deepEqual([wanted, state], [2, 'serving']);
    for (let count = 0; count < 20; count += 1) assert.ok(program.workers.includes(await answerer(program.port)));
  });

  it('take over the slot of a worker that is killed, and a fresh one comes afterwards', async () => {
    const program = await startWithSpares();
    let [victim] = program.workers;
    for (let kills = 1; kills <= 4; kills += 1) {
      const { args: [spare] } = (await program.lines('spare', kills))[kills - 1];
      const killedAt = performance.now();
      process.kill(victim, 'SIGKILL');
      assert.equal(await answerer(program.port), spare);
      const took = performance.now() - killedAt;
      assert.ok(took < SOON_MS, `answered after ${took} ms`);
      await program.lines('spare', kills + 1);
      victim = spare;
    }
    // Each death led to one fork, that of the next spare, which may wait for the back-off.
    const events = masterEvents(program, 'forked', 'spare', 'died', 'listening');
    const count = (name) => events.filter((event) => event === name).length;
    assert.deepEqual(['forked', 'spare', 'died', 'listening'].map(count), [6, 5, 4, 5]);
  });

  it('listen on every port when they take over', async () => {
    const ports = [await freePort(), await freePort()];
    const program = await startWithSpares({ port: ports });
    process.kill(program.workers[0], 'SIGKILL');
    for (const port of ports) assert.equal(await answerer(port), program.spares[0]);
  });

  it('answer clients that waited in the queue of the worker that died', async () => {
    const program = await startWithSpares();
    const [victim] = program.workers;
    process.kill(victim, 'SIGSTOP');
    const waiting = await connect(program.port);
    waiting.get('/pid');
    process.kill(victim, 'SIGKILL');
    const [, pid] = await waiting.until(/\r\n\r\n(\d+)$/);
    assert.equal(Number(pid), program.spares[0]);
  });

  it('are renewed by a reload, and kept by one that fails', async () => {
    const cwd = makeDirectory();
    const write = (release) => fs.writeFileSync(path.join(cwd, 'release'), release);
    write('one');
    try {
      const options = { noWorkers: 1, spares: 1, keepAliveGrace: 50 };
      const program = await ready(start('reload', { cwd, options }), 1);
      const reload = async () => {
        await request(program.port, { path: `/do?${encodeURIComponent('["reload"]')}` });
        return program.line(({ event }) => event === 'done' || event === 'failed');
      };
      const [{ args: [first] }] = await program.lines('spare', 1);
      write('throws');
      assert.equal((await reload()).event, 'failed');
      write('two');
      assert.equal((await reload()).event, 'done');
      assert.match((await died(program, first)).reason, /reload/);
      const [, { args: [second] }] = await program.lines('spare', 2);
      assert.equal(program.seen('spare').length, 2, 'the failed reload changed nothing');
      const [{ pid }] = (await ask(program, 'status')).workers.filter(({ state }) => state === 'serving');
      process.kill(pid, 'SIGKILL');
      await program.line(({ event, args }) => event === 'listening' && args[0] === second);
      assert.equal((await request(program.port)).body, 'two');
    } finally {
      fs.rmSync(cwd, { recursive: true, force: true });
    }
  });

  it('are replaced when they die or are told to go', async () => {
    const program = await startWithSpares();
    process.kill(program.spares[0], 'SIGKILL');
    await died(program, program.spares[0]);
    const [, { args: [second] }] = await program.lines('spare', 2);
    process.kill(second, 'SIGTERM');
    assert.deepEqual(await died(program, second).then(({ code, signal }) => [code, signal]), [0, null]);
    await program.lines('spare', 3);
    const { wanted, workers } = await ask(program, 'status');
    assert.deepEqual([wanted, workers.map(({ state }) => state)], [1, ['serving', 'spare']]);
  });

  it('stay out of what scale and the workers\' own leave do', async () => {
    const program = await startWithSpares({ noWorkers: 2 });
    await ask(program, 'scale', { workers: 1 });
    await eventually(() => program.seen('died').length === 1);
    const { workers } = await ask(program, 'status');
    assert.deepEqual(workers.map(({ state }) => state), ['serving', 'spare']);
    const [{ pid }] = workers;
    (await connectTo(program.port, pid)).get('/exit?0');
    await died(program, pid);
    // Nobody is left to stand by for.
    await died(program, program.spares[0]);
    await program.line(({ event, args }) => event === 'warning' && /no worker is left/.test(args[0].message));
  });

  for (const [how, code, signal] of [['SIGTERM', 0, null], ['SIGKILL', null, 'SIGKILL']]) {
    it(`end with their master: ${how === 'SIGTERM' ? 'a shutdown' : 'a master that is killed'}`, async () => {
      const program = await startWithSpares({ spares: 2 });
      program.kill(how);
      assert.deepEqual(await program.exit(), { code, signal });
      await program.gone();
    });
  }
});
