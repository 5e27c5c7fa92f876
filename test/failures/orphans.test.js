// No worker outlives its master, whatever the worker does and whatever cleared the kernel's parent-death signal.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { eventually, isAlive, makeDirectory, reap, start, startCluster } = require('../support');

const NOBODY = 65534;
const isRoot = process.getuid() === 0;
const NODE = process.env.CLUSTER2_TEST_NODE ?? process.execPath;

describe('a worker whose event loop stands still', () => {
  afterEach(reap);

  it('ends within a second of its master, which was killed', async () => {
    await endsWithItsMaster(start('stuck-worker', { options: { noWorkers: 1 } }));
  });

  if (isRoot) {
    it('ends so although it has called process.setuid()', async () => {
      await endsWithItsMaster(start('stuck-worker', { options: { noWorkers: 1 }, args: ['setuid'] }));
    });
  }

  const capable = isRoot && nodeWithCapabilities();
  if (capable) {
    after(() => fs.rmSync(path.dirname(capable), { recursive: true }));

    it('ends so although its Node has file capabilities', async () => {
      await endsWithItsMaster(start('stuck-worker', { options: { noWorkers: 1 }, node: capable, uid: NOBODY }));
    });
  }
});

describe('the thread that waits for the end of the master', () => {
  afterEach(reap);

  it('is one in each worker, blocks every signal, and changes nothing in a graceful end', async () => {
    const program = await startCluster({ noWorkers: 2 });
    for (const pid of program.workers) {
      const [thread, ...others] = threadsOf(pid, 'cluster2-life');
      assert.equal(others.length, 0);
      // Bits of the two signals of the C library, which nobody can block, are left out.
      const blocked = BigInt(`0x${/SigBlk:\s+(\w+)/.exec(fs.readFileSync(`${thread}/status`, 'latin1'))[1]}`);
      assert.equal(blocked & 0x7ffbfeffn, 0x7ffbfeffn);
    }
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const deaths = program.seen('died').map(({ args: [, { code, signal }] }) => [code, signal]);
    assert.deepEqual(deaths, [[0, null], [0, null]]);
  });
});

async function endsWithItsMaster(program) {
  const { pid } = await program.line('stuck');
  program.kill('SIGKILL');
  await eventually(() => !isAlive(pid), { within: 1000 });
  await program.exit();
}

// A copy of the Node under test that may bind low ports; undefined where that can't be made.
function nodeWithCapabilities() {
  const directory = makeDirectory();
  const copy = path.join(directory, 'node');
  fs.chmodSync(directory, 0o755);
  fs.copyFileSync(NODE, copy);
  if (spawnSync('setcap', ['cap_net_bind_service+ep', copy]).status === 0) return copy;
  fs.rmSync(directory, { recursive: true });
  return undefined;
}

function threadsOf(pid, name) {
  const threads = fs.readdirSync(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}`);
  return threads.filter((thread) => fs.readFileSync(`${thread}/comm`, 'latin1') === `${name}\n`);
}
