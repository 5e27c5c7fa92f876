// Forks that fail, and a master that has no descriptor left, or can send none.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const {
  childrenOf, connect, eventually, makeDirectory, reap, request, start, startCluster,
} = require('../support');
const { hasStrace, meddle } = require('../support/tracer');

const ANOTHER_USER = 65532;
const NODE = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
const isFailedStart = ({ event, args: [warning] = [] }) =>
  event === 'warning' && warning.code === 'ERR_CLUSTER2_SPAWN';
const isShortage = ({ event, args: [warning] = [] }) => event === 'warning' && /are short/.test(warning.message);

(hasStrace ? describe : describe.skip)('a process that was forked and cannot be watched', () => {
  afterEach(reap);
  let end;
  afterEach(() => end?.());

  it('is a failed start: it is killed and reaped, and the next one is tried', async () => {
    const program = await startCluster({ noWorkers: 1 });
    end = await meddle(program.pid, 'pidfd_open:error=EMFILE');
    process.kill(program.workers[0], 'SIGKILL');
    const [{ args: [{ message }] }] = await program.lines(isFailedStart, 2);
    assert.match(message, /too many open files/i);
    await eventually(() => childrenOf(program.pid).length === 0);
    assert.equal(program.seen('forked').length, 1);
    await end();
    await program.lines('listening', 2);
    assert.deepEqual(childrenOf(program.pid).map(({ isZombie }) => isZombie), [false]);
  });
});

// Root may have as many processes as it likes.
if (process.platform === 'linux') describe('forks that fail for want of processes', () => {
  const NOBODY = 65534;
  // By then starts that fail for another reason wait for six seconds.
  const FAILURES = 8;
  const SOON_MS = 2500;
  afterEach(reap);
  const uid = process.getuid() === 0 ? NOBODY : undefined;

  function prlimit(pid, ...args) {
    const options = { encoding: 'utf8', uid, gid: uid };
    const { status, stdout, stderr } = spawnSync('prlimit', ['--pid', pid, ...args], options);
    assert.equal(status, 0, stderr);
    return stdout.trim();
  }

  it('leave no slot empty for long when there is room again', async () => {
    const program = await startCluster({ noWorkers: 2 }, { uid });
    const before = prlimit(program.pid, '--nproc', '--noheadings', '--raw', '--output=SOFT');
    prlimit(program.pid, '--nproc=1:');
    process.kill(program.workers[0], 'SIGKILL');
    await program.lines(isFailedStart, FAILURES);
    prlimit(program.pid, `--nproc=${before}:`);
    const [,, { at }] = await program.lines('forked', 3);
    const last = program.seen(isFailedStart).at(-1).at;
    assert.ok(at - last < SOON_MS, `forked ${at - last} ms after the last failure`);
  });
});

(hasStrace ? describe : describe.skip)('a kernel that has no memory for messages', () => {
  afterEach(reap);
  let end;
  afterEach(() => end?.());

  for (const [call, direction] of [['recvmsg', 'from'], ['sendmsg', 'to']]) {
    it(`delays those ${direction} workers, and costs none`, async () => {
      const program = await startCluster({ noWorkers: 1 });
      end = await meddle(program.pid, `${call}:error=ENOMEM`);
      await request(program.port, { path: '/command' });
      await program.line(isShortage);
      await end();
      await program.line(({ event, role }) => event === 'command' && role === 'worker');
      assert.deepEqual(program.seen('died'), []);
    });
  }
});

describe('a master that has used up its descriptors', () => {
  afterEach(reap);
  const directory = makeDirectory();
  after(() => fs.rmSync(directory, { recursive: true }));

  it('still starts the successor of a worker', async () => {
    const few = path.join(directory, 'node');
    fs.writeFileSync(few, `#!/bin/sh\nulimit -n 100\nexec '${NODE}' "$@"\n`, { mode: 0o755 });
    const program = start('no-descriptors', { options: { noWorkers: 1 }, node: few });
    assert.deepEqual((await program.line('full')).args, ['EMFILE']);
    await program.lines('listening', 2);
    assert.deepEqual(program.seen(isFailedStart), []);
    await program.line('died');
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('lends a worker its socket when there are descriptors again', async () => {
    const few = path.join(directory, 'none');
    fs.writeFileSync(few, `#!/bin/sh\nulimit -n 100\nexec '${NODE}' "$@"\n`, { mode: 0o755 });
    const program = start('no-descriptors', { options: { noWorkers: 1 }, node: few, args: ['once more'] });
    const { args: [successor] } = await program.line(({ event, args }) => event === 'forked' && args[0] !== first());
    assert.deepEqual((await program.line('full again')).args, ['EMFILE']);
    await program.line(({ event, args }) => event === 'listening' && args[0] === successor);
    const deaths = await program.lines('died', 1);
    assert.deepEqual(deaths.map(({ args: [pid] }) => pid), [first()]);

    function first() {
      return program.seen('forked')[0]?.args[0];
    }
  });

  it('loses no connection and no worker while workers give connections back', async () => {
    const few = path.join(directory, 'few');
    fs.writeFileSync(few, `#!/bin/sh\nulimit -n 160\nexec '${NODE}' "$@"\n`, { mode: 0o755 });
    const program = start('short-of-descriptors', { options: { noWorkers: 4 }, node: few });
    const { args: [code, port] } = await program.line('full');
    assert.equal(code, 'EMFILE');
    const clients = await Promise.all(Array.from({ length: 64 }, () => connect(port)));
    const answers = await Promise.all(clients.map((client) => client.get('/').until(/\r\n\r\n(\d+)$/)));
    for (const client of clients) client.close();
    assert.equal(answers.length, 64);
    assert.deepEqual(program.seen('died'), []);
    assert.equal(program.seen('forked').length, 4);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('says so to an application that sends a handle, which stays its own', async () => {
    const few = path.join(directory, 'sender');
    fs.writeFileSync(few, `#!/bin/sh\nulimit -n 100\nexec '${NODE}' "$@"\n`, { mode: 0o755 });
    const program = start('no-descriptors', { options: { noWorkers: 1 }, node: few, args: ['send'] });
    assert.deepEqual((await program.line('not sent')).args, ['ERR_CLUSTER2_NO_DESCRIPTOR', true]);
    await program.line('sent');
    assert.deepEqual(program.seen('died'), []);
  });
});

(hasStrace ? describe : describe.skip)('a master that finds no descriptor for a moment', () => {
  afterEach(reap);
  let end;
  afterEach(() => end?.());

  it('serves those who wait at a worker that dies then', async () => {
    const program = await startCluster({ noWorkers: 2, sticky: 'address', restartDelay: 60_000 });
    const [victim, other] = program.workers;
    const homes = await homesOf(program.port, Array.from({ length: 20 }, (_, at) => `127.0.0.${at + 1}`));
    process.kill(victim, 'SIGSTOP');
    const waiting = await Promise.all(homes.get(victim).map((localAddress) => connect(program.port, { localAddress })));
    const answers = waiting.map((connection) => connection.get('/pid').until(/\r\n\r\n(\d+)$/, { within: 15_000 }));
    // Neither a duplicate of the socket nor a successor can be had; such an error has the slot wait for long.
    end = await meddle(program.pid, 'fcntl,pidfd_open:error=EPERM');
    process.kill(victim, 'SIGKILL');
    await program.line(({ event, args: [warning] }) => event === 'warning' && warning.delay > 10_000);
    await end();
    const pids = (await Promise.all(answers)).map(([, pid]) => Number(pid));
    assert.deepEqual([...new Set(pids)], [other]);
    assert.equal(program.seen('listening').length, 2, 'a successor was there');
    for (const connection of waiting) connection.close();
  });

  it('finds workers that stand still afterwards', async () => {
    const program = await startCluster({ noWorkers: 5 });
    // The queues are to be watched anew for another worker, and the kernel gives no epoll for that.
    end = await meddle(program.pid, 'epoll_create1:error=EMFILE');
    process.kill(program.workers[0], 'SIGKILL');
    await program.lines('listening', 6);
    await end();
    // All who watch one of the five queues are stopped.
    const stopped = program.workers.slice(1);
    for (const pid of stopped) process.kill(pid, 'SIGSTOP');
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(program.port)));
    for (const client of clients) await client.get('/pid').until(/\r\n\r\n\d+$/);
    for (const pid of stopped) process.kill(pid, 'SIGCONT');
    for (const client of clients) client.close();
  });
});

// The limit of descriptors holds for all that programs of a user have sent and nobody has received, but not for root.
(process.getuid() === 0 ? describe : describe.skip)('a user of whom too many descriptors are under way', () => {
  afterEach(reap);
  const directory = makeDirectory();
  after(() => fs.rmSync(directory, { recursive: true }));

  it('has workers that wait for their sockets, and none that is given up', async function () {
    this.timeout(60000);
    const few = path.join(directory, 'node');
    fs.writeFileSync(few, `#!/bin/sh\nulimit -n 100\nexec '${NODE}' "$@"\n`, { mode: 0o755 });
    fs.chmodSync(directory, 0o755);
    const program = await startCluster({ noWorkers: 2 }, { node: few, uid: ANOTHER_USER });
    const crowd = start('descriptors-under-way', { args: [130], uid: ANOTHER_USER });
    await crowd.line('under way');
    const [victim] = program.workers;
    process.kill(victim, 'SIGKILL');
    await program.line(isShortage);
    crowd.kill('SIGTERM');
    await crowd.exit();
    await program.lines('listening', 3);
    assert.deepEqual(program.seen('died').map(({ args: [pid] }) => pid), [victim]);
    assert.equal(program.seen('forked').length, 3);
  });
});

/** Which addresses each worker serves, by its pid. */
async function homesOf(port, addresses) {
  const homes = new Map();
  for (const localAddress of addresses) {
    const pid = Number((await request(port, { path: '/pid', localAddress })).body);
    homes.set(pid, [...(homes.get(pid) ?? []), localAddress]);
  }
  return homes;
}
