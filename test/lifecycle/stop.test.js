// stop() and shutdown(): in the master, from another process, and what they must not touch.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const {
  connect, died, eventually, freePort, isAlive, isRefused, makeDirectory, masterEvents, reap, refused, request, start,
  startCluster, underWay,
} = require('../support');
const { makeContainer, whyNoContainer } = require('../support/container');

async function assertStopped(program) {
  assert.deepEqual(await program.exit(), { code: null, signal: 'SIGKILL' });
  await program.gone({ within: 1000 });
  for (const pid of program.workers) assert.equal((await died(program, pid)).signal, 'SIGKILL');
  assert.equal(program.seen('forked').length, program.workers.length);
  assert.deepEqual(program.files('pids'), []);
}

async function assertShutDown(program) {
  assert.deepEqual(await program.exit(), { code: 0, signal: null });
  for (const pid of program.workers) assert.equal((await died(program, pid)).code, 0);
  assert.deepEqual(program.files('pids'), []);
}

describe('stop() in the master', () => {
  afterEach(reap);

  it('kills the workers, tells of each death, removes the pid files and ends the master by SIGKILL', async () => {
    const program = await startCluster();
    await request(program.port, { path: '/call?stop' }).catch(() => {});
    await assertStopped(program);
  });

  it('does nothing in a worker', async () => {
    const program = await startCluster({ noWorkers: 1 });
    for (const method of ['stop', 'shutdown']) {
      assert.equal((await request(program.port, { path: `/here?${method}` })).body, 'nothing happened');
    }
    assert.deepEqual(masterEvents(program, 'died'), []);
  });
});

describe('shutdown() in the master', () => {
  afterEach(reap);

  it('answers what is under way, tells of each death, and exits with 0', async () => {
    const program = await startCluster({ keepAliveGrace: 50 });
    const busy = await underWay(program, program.workers[0], '/slow?300');
    (await connect(program.port)).get('/call?shutdown');
    await refused(program.port);
    await busy.until(/\r\n\r\nslow$/);
    await assertShutDown(program);
    await program.line(({ event, args }) => event === 'ended' && args[0] === 'shutdown');
  });
});

describe('from another process', () => {
  const directories = [];
  const newDirectory = () => directories[directories.push(makeDirectory()) - 1];
  afterEach(reap);
  after(() => {
    for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
  });

  const end = (cwd, ...args) => start('api-end', { cwd, args });

  async function assertEnded(ender) {
    assert.deepEqual(await ender.exit(), { code: 0, signal: null }, ender.output());
    assert.equal(ender.stderr, '');
  }

  it('stop() ends a cluster at once, whatever its workers do', async () => {
    const program = await startCluster();
    await underWay(program, program.workers[0], '/block?');
    const ender = end(program.cwd, 'stop');
    await ender.line('ended');
    await assertStopped(program);
    await assertEnded(ender);
  });

  it('shutdown() lets a cluster finish; it resolves when nothing new gets in', async () => {
    const program = await startCluster({ keepAliveGrace: 50 });
    const busy = await underWay(program, program.workers[1], '/slow?1000');
    const ender = end(program.cwd, 'shutdown');
    await ender.line('ended');
    assert.ok(await isRefused(program.port));
    assert.deepEqual((await program.line('SIGTERM')).args, [{ pid: program.pid, type: 'master' }]);
    await busy.until(/\r\n\r\nslow$/);
    await assertShutDown(program);
    await assertEnded(ender);
  });

  for (const [what, signal] of [['stop', 'SIGKILL'], ['shutdown', 'SIGTERM']]) {
    it(`{${what}: true} does it in listen, without running the application, and emits ${signal} there`, async () => {
      const program = await startCluster({ keepAliveGrace: 50 });
      const ender = end(program.cwd, 'option', what);
      assert.deepEqual((await ender.line(signal)).args, []);
      await (what === 'stop' ? assertStopped(program) : assertShutDown(program));
      await assertEnded(ender);
      assert.deepEqual(ender.seen().map(({ event }) => event), [signal]);
    });

    it(`${what}() without a pids directory, or with an empty one, is silent`, async () => {
      const cwd = newDirectory();
      await assertEnded(end(cwd, what));
      fs.mkdirSync(path.join(cwd, 'pids'));
      await assertEnded(end(cwd, what));
      await assertEnded(end(cwd, 'option', what));
    });

    it(`${what}() never touches a process that is not ours, and stray files do not keep it from its work`, async () => {
      const program = await startCluster({ noWorkers: 1 });
      const innocent = start('api-innocent');
      await innocent.line('here');
      const write = (name, text) => fs.writeFileSync(path.join(program.cwd, 'pids', name), text);
      write(`master.${innocent.pid}.pid`, String(innocent.pid));
      write(`worker.${innocent.pid}.pid`, String(innocent.pid));
      write('master.999999999.pid', String(innocent.pid));
      write('master.1.pid', '1');
      write('master.0.pid', '0');
      write('worker.-1.pid', '-1');
      write('master.abc.pid', 'abc');
      write('master..pid', '');
      write('notes.txt', 'keep me');
      fs.mkdirSync(path.join(program.cwd, 'pids', 'master.77.pid'));
      const ender = end(program.cwd, what);
      const { code, signal: by } = await program.exit();
      assert.deepEqual({ code, by }, what === 'stop' ? { code: null, by: 'SIGKILL' } : { code: 0, by: null });
      await assertEnded(ender);
      assert.ok(isAlive(innocent.pid));
      assert.ok(program.files('pids').includes('notes.txt'));
      assert.equal(innocent.seen('signal').length, 0);
    });

    it(`${what}() ends every cluster of the directory`, async () => {
      const cwd = newDirectory();
      const clusters = [await startCluster({ noWorkers: 1 }, { cwd }), await startCluster({ noWorkers: 1 }, { cwd })];
      await assertEnded(end(cwd, what));
      for (const program of clusters) await program.exit();
      await eventually(() => clusters[0].files('pids').length === 0);
    });
  }

  it('shutdown() works while the event loop of the master is blocked', async () => {
    const program = await startCluster({ noWorkers: 1, keepAliveGrace: 50 });
    await request(program.port, { path: '/call?block' }).catch(() => {});
    await program.line('blocked');
    const ender = end(program.cwd, 'shutdown');
    await ender.line('ended');
    assert.ok(await isRefused(program.port));
    await eventually(() => !isAlive(program.workers[0]));
    assert.equal(program.seen('unblocked').length, 0);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });
});

describe('before createApp has come to its end', () => {
  afterEach(reap);

  it('stop() and shutdown() end the master', async () => {
    for (const [what, exit] of [['shutdown', { code: 0, signal: null }], ['stop', { code: null, signal: 'SIGKILL' }]]) {
      assert.deepEqual(await start('unfinished', { args: [what] }).exit(), exit);
    }
  });
});

describe('stop() in process 1 of a container, which no SIGKILL of its own ends', () => {
  let container;
  before(function makeOne() {
    if (whyNoContainer() !== undefined) this.skip();
    container = makeContainer();
  });
  after(() => container?.remove());
  afterEach(reap);

  it('ends the master with 137 once its workers are gone', async () => {
    const program = await startCluster({}, { node: container.node });
    await request(program.port, { path: '/call?stop' }).catch(() => {});
    assert.deepEqual(await program.exit(), { code: 137, signal: null });
    assert.deepEqual(masterEvents(program, 'died'), ['died', 'died']);
    assert.deepEqual(program.files('pids'), []);
  });

  it('ends a master whose createApp has not come to its end', async () => {
    const program = start('unfinished', { args: ['stop'], node: container.node });
    assert.deepEqual(await program.exit(), { code: 137, signal: null });
    assert.equal(program.stderr, '');
  });

  it('ends a process without workers, which serves', async () => {
    const port = await freePort();
    const program = start('api-single', { options: { port, cluster: false }, node: container.node });
    await program.line('callback');
    await request(port, { path: '/stop' }).catch(() => {});
    assert.deepEqual(await program.exit(), { code: 137, signal: null });
  });
});
