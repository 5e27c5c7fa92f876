// The pid files: what they are called and hold, when they come and go, and whose files are left alone.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const {
  died, eventually, freePort, inTime, isAlive, makeDirectory, ready, reap, request, start, startCluster,
} = require('../support');
const { command } = require('../support/command');
const { hasStrace, meddle } = require('../support/tracer');

const isListening = ({ event, role }) => event === 'listening' && role === 'master';
const pidFiles = (program, directory = 'pids') => program.files(directory).filter((name) => name.endsWith('.pid'));

describe('pid files', () => {
  afterEach(reap);
  const directories = [];
  const newDirectory = () => directories[directories.push(makeDirectory()) - 1];
  after(() => {
    for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
  });

  it('are named after role and pid, hold the pid in decimal, and follow the workers', async () => {
    const program = await startCluster();
    const [first, second] = program.workers;
    const expected = [`master.${program.pid}.pid`, `worker.${first}.pid`, `worker.${second}.pid`].sort();
    assert.deepEqual(pidFiles(program), expected);
    for (const name of expected) {
      assert.equal(fs.readFileSync(path.join(program.cwd, 'pids', name), 'utf8'), /\d+/.exec(name)[0]);
    }

    process.kill(first, 'SIGKILL');
    await died(program, first);
    const [, , { args: [third] }] = await program.lines('forked', 3);
    const later = [`master.${program.pid}.pid`, `worker.${second}.pid`, `worker.${third}.pid`].sort();
    await eventually(() => pidFiles(program).join() === later.join());

    program.kill('SIGTERM');
    await program.exit();
    assert.deepEqual(program.files('pids'), []);
  });

  it('are there when forked is emitted', async () => {
    const program = start('api-forked-files', { options: { noWorkers: 2 } });
    const lines = await program.lines('files', 2);
    for (const { args: [{ hasWorker, hasMaster }] } of lines) assert.ok(hasWorker && hasMaster);
  });

  it('of clusters that are gone are cleared at the start, foreign files are kept', async () => {
    const cwd = newDirectory();
    const killed = await startCluster({ noWorkers: 1 }, { cwd });
    killed.kill('SIGKILL');
    await killed.exit();
    await killed.gone();
    const stale = pidFiles(killed);
    assert.equal(stale.length, 2);
    fs.writeFileSync(path.join(cwd, 'pids', 'notes.txt'), 'keep me');
    fs.writeFileSync(path.join(cwd, 'pids', 'nginx.pid'), '1');

    const program = await startCluster({ noWorkers: 1 }, { cwd });
    const own = [`master.${program.pid}.pid`, `worker.${program.workers[0]}.pid`];
    assert.deepEqual(pidFiles(program), [...own, 'nginx.pid'].sort());
    program.kill('SIGTERM');
    await program.exit();
    assert.deepEqual(program.files('pids'), ['nginx.pid', 'notes.txt']);
    assert.equal(fs.readFileSync(path.join(cwd, 'pids', 'notes.txt'), 'utf8'), 'keep me');
  });

  it('go where the option pids says, which is made; logs is only read', async () => {
    const program = await startCluster({ noWorkers: 1, pids: 'run/of/app', logs: 'var/log' });
    assert.equal(pidFiles(program, 'run/of/app').length, 2);
    assert.deepEqual(program.files('.').filter((name) => ['pids', 'logs', 'var'].includes(name)), []);
    const ender = start('api-end', { args: ['shutdown'], cwd: program.cwd, options: { pids: 'run/of/app' } });
    assert.equal((await ender.exit()).code, 0);
    assert.equal((await program.exit()).code, 0);
    assert.deepEqual(program.files('run/of/app'), []);
  });

  it('of two masters in one directory do not disturb each other', async () => {
    const cwd = newDirectory();
    const one = await startCluster({ noWorkers: 1 }, { cwd });
    const two = await startCluster({ noWorkers: 1 }, { cwd });
    assert.equal(pidFiles(one).length, 4);
    two.kill('SIGTERM');
    await two.exit();
    assert.deepEqual(pidFiles(one), [`master.${one.pid}.pid`, `worker.${one.workers[0]}.pid`].sort());
    assert.equal((await request(one.port)).body, 'hello');
  });

  it('that cannot be written end the start with a code', async () => {
    const cwd = newDirectory();
    fs.writeFileSync(path.join(cwd, 'pids'), 'a file, not a directory');
    const program = start('api-cluster', { cwd });
    assert.equal((await program.exit()).code, 1);
    assert.match(program.stderr, /ERR_CLUSTER2_PIDS/);
  });

  it('come back with the workers that replace the dead', async () => {
    const program = await ready(start('api-cluster', { options: { noWorkers: 1 } }), 1);
    process.kill(program.workers[0], 'SIGKILL');
    const [, { args: [pid] }] = await program.lines('listening', 2);
    await eventually(() => pidFiles(program).includes(`worker.${pid}.pid`));
    assert.equal(pidFiles(program).length, 2);
  });
});

describe('a directory in which no pid file can be written', () => {
  const NOBODY = 65534;
  const places = [];
  afterEach(reap);
  afterEach(() => places.splice(0).forEach((place) => fs.rmSync(place, { recursive: true, force: true })));

  // A directory that nobody may write in, and one for temporary files; and how to run programs there. Root may write
  // everywhere, so a program of root's runs as another user.
  function readOnly() {
    const [cwd, temporary] = [makeDirectory(), makeDirectory()];
    places.push(cwd, temporary);
    const uid = process.getuid() === 0 ? NOBODY : undefined;
    fs.chmodSync(cwd, 0o555);
    fs.chmodSync(temporary, 0o1777);
    return { cwd, temporary, how: { cwd, uid, env: { TMPDIR: temporary } } };
  }

  const isWarning = ({ event, args: [warning] = [] }) => event === 'warning' && warning.code === 'ERR_CLUSTER2_PIDS';

  it('is no reason not to start: they are kept in a private directory, in which stop() looks too', async () => {
    const { temporary, how } = readOnly();
    const program = await startCluster({ noWorkers: 1 }, how);
    assert.equal((await request(program.port)).body, 'hello');
    const [name, ...others] = fs.readdirSync(temporary);
    assert.match(name, /^cluster2-\d+-[0-9a-f]{16}$/);
    assert.deepEqual(others, []);
    const place = path.join(temporary, name);
    assert.equal(fs.statSync(place).mode & 0o7777, 0o700);
    const [master, [worker]] = [program.pid, program.workers];
    const expected = [`master.${master}.pid`, `master.${master}.sock`, `worker.${worker}.pid`];
    assert.deepEqual(fs.readdirSync(place).sort(), expected);
    const warnings = program.seen(isWarning);
    assert.equal(warnings.length, 1);
    assert.ok(warnings[0].args[0].message.includes(place));

    const ender = start('api-end', { args: ['stop'], ...how });
    assert.equal((await ender.exit()).code, 0);
    assert.deepEqual(await program.exit(), { code: null, signal: 'SIGKILL' });
    assert.deepEqual(fs.readdirSync(place), []);
  });

  it('does not hide the cluster from shutdown() and from the command', async () => {
    const { how } = readOnly();
    const program = await startCluster({ noWorkers: 1 }, how);
    const env = { ...process.env, ...how.env };
    const { stdout, stderr } = await command(how.cwd, ['status', '--json'], { uid: how.uid, gid: how.uid, env });
    assert.deepEqual(JSON.parse(stdout).map(({ pid }) => pid), [program.pid], stderr);
    const ender = start('api-end', { args: ['shutdown'], ...how });
    assert.equal((await ender.exit()).code, 0);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('is no reason not to start although the private directory is not safe; that one is left alone', async () => {
    const { temporary, how } = readOnly();
    const first = await startCluster({ noWorkers: 1 }, how);
    first.kill('SIGTERM');
    await first.exit();
    const [name] = fs.readdirSync(temporary);
    fs.chmodSync(path.join(temporary, name), 0o777);

    const program = await startCluster({ noWorkers: 1 }, how);
    assert.equal((await request(program.port)).body, 'hello');
    const warnings = program.seen(isWarning);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0].args[0].message, /this user alone.*only signals/);
    assert.deepEqual(fs.readdirSync(path.join(temporary, name)), []);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });
});

(hasStrace ? describe : describe.skip)('a disk that does not answer', () => {
  afterEach(reap);
  let end;
  afterEach(() => end?.());

  it('delays neither health, nor the replacement of a worker, nor a graceful end', async () => {
    const monPort = await freePort();
    const program = await startCluster({ noWorkers: 1, monPort });
    const [first] = program.workers;
    // Longer than all that follows takes: whichever thread renames or removes a file is away for so long.
    end = await meddle(program.pid, `rename,renameat,renameat2,unlink,unlinkat:delay_enter=${20e6}`);
    process.kill(first, 'SIGKILL');
    await program.lines('listening', 2, { within: 2000 });
    const [, { args: [second] }] = program.seen('forked');
    assert.equal((await inTime(request(monPort, { path: '/live' }), '/live', 1000)).status, 200);
    assert.deepEqual(pidFiles(program), [`master.${program.pid}.pid`, `worker.${first}.pid`].sort());
    process.kill(second, 'SIGKILL');
    await program.lines('listening', 3, { within: 3000 });
    const isWarning = ({ event, args: [warning] = [] }) => event === 'warning' && /disk/.test(warning.message);
    await program.lines(isWarning, 1, { within: 3000 });
    assert.equal(program.seen(isWarning).length, 1);
    program.kill('SIGTERM');
    // The thread that is held by strace is all that is left of it.
    await eventually(() => !isAlive(program.pid), { within: 3000 });
    await end();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('does not delay the end of a cluster on a unix socket either', async () => {
    const program = await startCluster({ noWorkers: 1, port: './app.sock' });
    end = await meddle(program.pid, `unlink,unlinkat:delay_enter=${20e6}`);
    program.kill('SIGTERM');
    await eventually(() => !isAlive(program.pid), { within: 4000 });
    await end();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('costs one fork half a second where the log lies on it; the workers have the stdout of the master', async () => {
    const program = await startCluster({ noWorkers: 1, log: 'app.log' });
    end = await meddle(program.pid, `openat:delay_enter=${20e6}`, { path: path.join(program.cwd, 'app.log') });
    for (const count of [2, 3, 4]) {
      process.kill(program.seen('forked').at(-1).args[0], 'SIGKILL');
      await program.lines(isListening, count, { within: 5000 });
    }
    const warnings = program.seen(({ event, args }) => event === 'warning' && args[0].code === 'ERR_CLUSTER2_LOG');
    assert.equal(warnings.length, 3);
    assert.match(warnings[0].args[0].message, /cannot append to the log .*: its disk does not answer/);
    assert.equal(threadsOf(program, 'cluster2-log'), 1);
    await end();
  });

  it('holds up supervision once, and one thread, where the path of the application lies on it', async () => {
    const program = await startCluster({ noWorkers: 1, port: './app.sock' });
    const calls = 'stat,lstat,statx,newfstatat,link,linkat';
    end = await meddle(program.pid, `${calls}:delay_enter=${20e6}`, { path: path.join(program.cwd, 'app.sock') });
    for (const count of [2, 3, 4]) {
      process.kill(program.seen('forked').at(-1).args[0], 'SIGKILL');
      await program.lines(isListening, count, { within: 5000 });
    }
    assert.equal(threadsOf(program, 'cluster2-sock'), 1);
    await end();
  });

  it('is caught up with as soon as it answers', async () => {
    const program = await startCluster({ noWorkers: 1 });
    end = await meddle(program.pid, `rename,renameat,renameat2,unlink,unlinkat:delay_enter=${500e3}`);
    process.kill(program.workers[0], 'SIGKILL');
    const [, { args: [pid] }] = await program.lines('listening', 2);
    const expected = [`master.${program.pid}.pid`, `worker.${pid}.pid`].sort().join();
    await eventually(() => pidFiles(program).join() === expected);
  });
});

function threadsOf({ pid }, name) {
  const threads = fs.readdirSync(`/proc/${pid}/task`);
  return threads.filter((thread) => fs.readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim() === name).length;
}
