// What a worker is as a process: environment, arguments, directory, output; and scripts that use Node's own ways.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { start, reap, request, eventually, isAlive, isRefused, ready } = require('../support');

const MARK = 'CLUSTER2_MASTER';

for (const master of ['raw', 'agent']) {
  describe(`a worker's process (${master})`, function () {
    this.timeout(30000);
    afterEach(reap);

    it('has the environment, arguments and directory that Node would give it', async () => {
      const [ours, theirs] = await Promise.all([facts(master), facts('node')]);
      assert.deepEqual(ours, theirs);
      assert.deepEqual(ours.map(({ id, marked, isPrimary }) => [id, marked, isPrimary]),
        [[1, 'with = and ů', false], [2, 'with = and ů', false]]);
    });

    it('writes to the output of the master, be it a pipe', async () => {
      const program = begin(master);
      for (const id of [1, 2]) {
        await program.line(new RegExp(`^log of ${id}$`));
        await eventually(() => program.stderr.includes(`error of ${id}\n`), { what: `error of ${id}` });
      }
    });

    it('writes to the output of the master, be it a file', async () => {
      const program = begin(master, { args: ['file'] });
      const file = path.join(program.cwd, 'output.txt');
      const texts = [1, 2].flatMap((id) => [`log of ${id}\n`, `error of ${id}\n`]);
      const read = () => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '');
      await eventually(() => texts.every((text) => read().includes(text)), { what: read });
    });

    it('starts programs that are not taken for workers, and may be masters', async () => {
      const program = begin(master, { args: ['nested'], noWorkers: 1 });
      assert.deepEqual((await program.line('nested')).args, [[false, 'undefined']]);
      const isInner = ({ event, args }) => event === 'process' && args[0].argv[2] === 'inner';
      const { args: [{ id, isPrimary }] } = await program.line(isInner);
      assert.deepEqual([id, isPrimary], [1, false]);
    });
  });
}

describe('programs that a worker starts', () => {
  const programs = [];
  afterEach(() => programs.splice(0).forEach((pid) => process.kill(pid, 'SIGKILL')));
  afterEach(reap);

  it('inherit nothing that the worker got from its master, so that its end is noticed at once', async () => {
    const cluster = start('own-programs', { options: { noWorkers: 1 } });
    const { pid: worker, args: [pid] } = await cluster.line('started');
    programs.push(pid);
    // What these tests inherited themselves, every program has.
    const inherited = descriptorsOf('self');
    const open = () => descriptorsOf(pid).filter((name) => name === '/dev/null' || !inherited.includes(name)).join();
    // The program opens files of its own while it is loaded.
    await eventually(() => open() === '/dev/null,/dev/null,/dev/null', { what: open });

    process.kill(worker, 'SIGKILL');
    assert.equal((await cluster.line('disconnected', { within: 1000 })).args[0], worker);
    assert.ok(isAlive(pid));
    programs.push((await cluster.lines('started', 2))[1].args[0]);
    cluster.kill('SIGKILL');
    await cluster.exit();
  });
});

describe('the user that workers run as', () => {
  afterEach(reap);
  if (process.getuid() !== 0) return;

  const run = (...args) => start('other-user', { options: { noWorkers: 1, heartbeatInterval: 500 }, args });

  it("is what cluster.setupPrimary says, without root's groups; the cluster works as ever", async () => {
    const program = await ready(run('65534', '65533'), 1);
    assert.deepEqual((await program.line('user')).args, [65534, 65533, [65533]]);
    assert.equal((await request(program.port)).body, 'hello');
    // Shared memory works for that user.
    await program.line(({ event, role }) => event === 'heartbeat' && role === 'master');
    const [worker] = program.workers;
    assert.ok(program.files('pids').includes(`worker.${worker}.pid`));
    program.kill('SIGKILL');
    await program.exit();
    await program.gone({ within: 1000 });
  });

  it('may be said without a group', async () => {
    const program = await ready(run('65534', '-'), 1);
    assert.deepEqual((await program.line('user')).args, [65534, 0, [0]]);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('that is not allowed is a failed start of each worker, which names it', async () => {
    const program = start('other-user', { options: { noWorkers: 1 }, args: ['0', '-'], uid: 65534 });
    const isRefusal = ({ event, args: [warning] = [] }) => event === 'warning' && warning.code === 'ERR_CLUSTER2_SPAWN';
    const { args: [{ message }] } = await program.line(isRefusal);
    assert.match(message, /uid 0: .*not permitted/i);
    assert.equal(program.seen('forked').length, 0);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('that is no number is refused before anything is forked', async () => {
    const program = start('other-user', { options: { noWorkers: 1 }, args: ['nobody', '-'] });
    assert.equal((await program.exit()).code, 1);
    assert.match(program.stderr, /ERR_CLUSTER2_INVALID_ARGUMENT/);
  });
});

describe('a script whose workers never call listen of this package', function () {
  this.timeout(30000);
  afterEach(reap);

  it('is served, refilled and ended like any other', async () => {
    const program = start('node-plain', { options: { noWorkers: 2 } });
    const { args: [port] } = await program.line('port');
    const [{ args: [victim] }] = await program.lines('listening', 2);
    assert.match((await request(port)).body, /^\d+$/);
    process.kill(victim, 'SIGKILL');
    assert.equal((await program.line('died')).args[0], victim);
    await program.lines('listening', 3);
    assert.match((await request(port)).body, /^\d+$/);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(await isRefused(port), true);
  });

  it('finishes what is under way when it is shut down', async () => {
    const program = start('node-plain', { options: { noWorkers: 1 } });
    const { args: [port] } = await program.line('port');
    const slow = request(port, { path: '/slow' });
    // A second request that is answered says that the first has arrived.
    await request(port);
    program.kill('SIGTERM');
    assert.equal((await slow).body, 'slow');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });
});

describe('a script that is an ES module', function () {
  this.timeout(30000);
  afterEach(reap);

  it('runs, with awaits at its top level', async () => {
    const program = start('node-esm.mjs', { options: { noWorkers: 2 } });
    const { args: [port, ...names] } = await program.line('ready');
    assert.deepEqual(names, [true, 'function']);
    await program.lines('listening', 2);
    assert.equal((await request(port)).status, 200);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.seen('died').length, 2);
  });
});

function begin(master, { args = [], noWorkers = 2 } = {}) {
  return start('node-process', {
    options: { noWorkers },
    args,
    execArgv: ['--no-deprecation', '--max-old-space-size=300'],
    env: { CLUSTER2_TEST_MASTER: master, MARKED_BY_TEST: 'with = and ů' },
  });
}

// By worker id, without the directory, which is each program's own, and our mark, which only our library can take
// out of the environment of a worker.
async function facts(master) {
  const program = begin(master, { args: ['--flag', 'two words', ''] });
  const lines = await program.lines('process', 2);
  return lines.map(({ args: [{ cwd, env, ...rest }] }) => ({
    ...rest, isInCwd: cwd === program.cwd, env: master === 'raw' ? env.filter((name) => name !== MARK) : env,
  }))
    .sort((a, b) => a.id - b.id);
}

function descriptorsOf(pid) {
  return fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      // It was closed meanwhile, as that of the list itself.
      return [];
    }
  });
}
