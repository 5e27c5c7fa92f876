// What a long life must not leave in the master: zombies, descriptors, confusion with the application's own children.
'use strict';

const assert = require('node:assert/strict');

const {
  childrenOf, countDescriptors, eventually, ready, reap, request, start, startCluster,
} = require('../support');

// Many slots die a few times each: one slot that died so often would be held back by its back-off.
const WORKERS = 6;
const DEATHS = 30;
const CHANGES = 10;
const SETTLED_MS = 500;

describe('the deaths of many workers', () => {
  afterEach(reap);

  it(`(${DEATHS}) leave no zombie and no descriptor, and harm no child process of the application`, async function () {
    this.timeout(60000);
    const program = await ready(start('api-children', { options: { noWorkers: WORKERS } }), WORKERS);
    const before = await settled(program);
    program.kill('SIGUSR2');
    await program.lines('child', 3);
    for (let deaths = 0; deaths < DEATHS; deaths += 1) {
      const { args: [pid] } = await program.line('listening');
      await died(program, pid);
    }
    await eventually(() => program.seen('listening').length >= DEATHS + WORKERS);
    assert.equal((await request(program.port)).body, 'hello');
    program.kill('SIGUSR2');
    await program.line('children done');
    const [{ args: [wrong, right] }] = program.seen('children done');
    assert.equal(wrong, 0);
    assert.ok(right > 3, `${right} children`);
    assert.equal(await settled(program), before);
    await eventually(() => childrenOf(program.pid).every(({ isZombie }) => !isZombie));
    assert.equal(childrenOf(program.pid).length, WORKERS);
  });
});

describe('a worker that is stopped', () => {
  afterEach(reap);

  it('leaves no descriptor behind for each change of the others', async function () {
    this.timeout(60000);
    const program = await startCluster({ noWorkers: 8, restartDelay: 10 });
    const [stopped, ...others] = program.workers;
    process.kill(stopped, 'SIGSTOP');
    try {
      // The first changes may leave what is sent once the worker goes on.
      const counts = [];
      for (let change = 0; change < CHANGES; change += 1) {
        await died(program, others.shift());
        const [{ args: [successor] }] = (await program.lines('listening', 9 + change)).slice(-1);
        others.push(successor);
        counts.push(await atRest(program));
      }
      assert.ok(counts.at(-1) - counts[2] <= 1, `descriptors of the master: ${counts}`);
    } finally {
      process.kill(stopped, 'SIGCONT');
    }
    await eventually(async () => (await request(program.port, { path: '/pid' })).body === String(stopped));
  });
});

// The number of descriptors a while after a change: by then all workers were told of it.
async function atRest({ pid }) {
  const began = performance.now();
  await eventually(() => performance.now() - began > SETTLED_MS);
  return countDescriptors(pid);
}

// Kills a worker and waits until the master has told of it.
async function died(program, pid) {
  process.kill(pid, 'SIGKILL');
  await program.line(({ event, args }) => event === 'died' && args[0] === pid, { within: 20000 });
}

// The number of descriptors once there are no children but the workers and it has stayed the same for ten looks.
async function settled(program) {
  let last;
  let looks = 0;
  return eventually(() => {
    const isQuiet = childrenOf(program.pid).length === WORKERS;
    const count = countDescriptors(program.pid);
    looks = isQuiet && count === last ? looks + 1 : 0;
    last = count;
    return looks >= 10 ? count : undefined;
  });
}
