// A machine that gives no shared memory: the cluster serves and supervises all the same, and costs nothing while idle.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { connect, makeDirectory, reap, request, startCluster } = require('../support');
const { hasStrace } = require('../support/tracer');

const NODE = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
const TICKS_PER_SECOND = 100;
// Two seconds, for two workers with one every 200 ms each.
const BEATS = 20;
// Some for each heartbeat, and not one for each millisecond.
const MOST_WAKES = 500;

(hasStrace ? describe : describe.skip)('a cluster without shared memory', () => {
  afterEach(reap);
  const directory = makeDirectory();
  after(() => fs.rmSync(directory, { recursive: true }));

  const node = path.join(directory, 'node');
  before(() => {
    // With -D it is the program that keeps the pid.
    const strace = 'strace -D -f --seccomp-bpf -qq -o /dev/null';
    const deny = '-e trace=memfd_create -e inject=memfd_create:error=EPERM';
    fs.writeFileSync(node, `#!/bin/sh\nexec ${strace} ${deny} '${NODE}' "$@"\n`, { mode: 0o755 });
  });

  it('is warned of once, and its master rests when nothing happens', async () => {
    const program = await startCluster({ noWorkers: 2, heartbeatInterval: 200, hangTimeout: 2000 }, { node });
    const { body } = await request(program.port, { path: '/pid' });
    assert.ok(program.workers.includes(Number(body)));
    const isShared = ({ event, args: [warning] }) => event === 'warning' && /shared memory/.test(warning.message);
    assert.equal(program.seen(isShared).length, 1);
    await assertRests(program);
    assert.equal(program.seen(isShared).length, 1);
  });

  it('rests while a worker that is stopped has a connection that nobody can take back', async () => {
    const program = await startCluster({ noWorkers: 2, heartbeatInterval: 200, scheduling: 'rr' }, { node });
    const [stopped] = program.workers;
    process.kill(stopped, 'SIGSTOP');
    // One goes to each.
    const clients = await Promise.all([connect(program.port), connect(program.port)]);
    await assertRests(program);
    process.kill(stopped, 'SIGCONT');
    for (const client of clients) await client.get('/pid').until(/\r\n\r\n\d+$/);
    for (const client of clients) client.close();
  });
});

/** Its thread sleeps while two seconds pass: it wakes up some times, and takes next to no processor time. */
async function assertRests(program) {
  const thread = supervisor(program.pid);
  const [used, woken] = [usedMs(thread), wakes(thread)];
  await program.lines('heartbeat', program.seen('heartbeat').length + BEATS);
  assert.ok(usedMs(thread) - used < 100, `${usedMs(thread) - used} ms of processor time`);
  assert.ok(wakes(thread) - woken < MOST_WAKES, `woke up ${wakes(thread) - woken} times`);
}

function supervisor(pid) {
  const threads = fs.readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`);
  return threads.find((thread) => fs.readFileSync(`${thread}/comm`, 'utf8') === 'cluster2\n');
}

function wakes(thread) {
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(fs.readFileSync(`${thread}/status`, 'utf8'))[1]);
}

function usedMs(thread) {
  const [, facts] = fs.readFileSync(`${thread}/stat`, 'utf8').split(') ');
  const [user, system] = facts.split(' ').slice(11, 13).map(Number);
  return (user + system) * (1000 / TICKS_PER_SECOND);
}
