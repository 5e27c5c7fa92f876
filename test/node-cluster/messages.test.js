// `process.send` and 'message', both ways, as under Node's own cluster; and what Node's doesn't do: a worker that
// does not read, or a master that does not, costs bounded memory and blocks nobody.
'use strict';

const assert = require('node:assert/strict');

const { start, reap } = require('../support');

// A worker may leave 64 MiB unread; the rest is what JavaScript needs to write messages of a megabyte.
const MOST_GROWN_MB = 200;
const LONGEST_TURN_MS = 2000;

for (const master of ['raw', 'agent']) {
  describe(`messages between master and workers (${master})`, function () {
    this.timeout(60000);
    afterEach(reap);

    it('carry every kind of value to the master as Node does', async () => {
      const [ours, theirs] = await Promise.all([said(master, 'up'), said('node', 'up')]);
      assert.deepEqual(ours, theirs);
    });

    it('refuse what cannot be sent as Node does', async () => {
      const [ours, theirs] = await Promise.all([said(master, 'refused'), said('node', 'refused')]);
      assert.deepEqual(ours, theirs);
    });

    it('may be 5 MB long, both ways', async () => {
      const program = converse('big', { master });
      assert.deepEqual((await program.line('up')).args, [true, 2621440]);
      assert.deepEqual((await program.line('back')).args, [true, 2621440]);
    });

    it('keep their order, 10,000 at once both ways', async () => {
      const program = converse('order', { master });
      await program.line('end', { within: 20000 });
      assert.deepEqual(program.seen('wrong'), []);
    });

    it('are called back and returned for as Node does', async () => {
      const [ours, theirs] = await Promise.all([master, 'node'].map(async (kind) => {
        const program = converse('callbacks', { master: kind });
        await program.lines('called back', 4);
        await program.lines('returned', 2);
        return program.seen('called back').map(({ args }) => args).sort();
      }));
      assert.deepEqual(ours, theirs);
    });
  });
}

describe('messages to a worker that does not read', function () {
  this.timeout(60000);
  afterEach(reap);

  it('are refused at a limit, and neither block the master nor fill its memory', async () => {
    const program = converse('stuck', { master: 'raw', noWorkers: 2 });
    const { returned, outcomes, longest, grown } = (await program.line('filled', { within: 30000 })).args[0];
    const firstFull = outcomes.indexOf('ERR_CLUSTER2_CHANNEL_FULL');
    assert.ok(firstFull > 1 && firstFull < 100, `full at ${firstFull}`);
    assert.deepEqual([...new Set(outcomes.slice(0, firstFull))], ['sent']);
    assert.deepEqual([...new Set(outcomes.slice(firstFull))], ['ERR_CLUSTER2_CHANNEL_FULL']);
    const firstFalse = returned.indexOf(false);
    assert.ok(firstFalse < firstFull, 'send returns false long before it fails');
    assert.ok(returned.slice(firstFalse).every((isMore) => isMore === false));
    assert.ok(grown < MOST_GROWN_MB, `the master grew by ${grown} MB`);
    assert.ok(longest < LONGEST_TURN_MS, `a turn of the master's loop took ${longest} ms`);
    await program.line('replaced');
    const { args: [heard] } = await program.line('end', { within: 20000 });
    assert.deepEqual(heard, [...outcomes.slice(0, firstFull).keys(), 'last'], 'what was accepted arrives, in order');
  });
});

describe('messages to a master that does not read', function () {
  this.timeout(60000);
  afterEach(reap);

  it('wait in the worker, and arrive in order', async () => {
    const program = converse('flood', { master: 'raw', noWorkers: 1 });
    const { args: [grown] } = await program.line('grown', { within: 20000 });
    assert.ok(grown < MOST_GROWN_MB, `the master grew by ${grown} MB`);
    assert.deepEqual((await program.line('end', { within: 30000 })).args, [256]);
    assert.deepEqual(program.seen('wrong'), []);
  });
});

function converse(scenario, { master, noWorkers = 1 }) {
  return start('node-messages', {
    options: { noWorkers },
    args: [scenario],
    env: { CLUSTER2_TEST_MASTER: master },
  });
}

// All that was said of one kind in the scenario 'values', with one worker.
async function said(master, event) {
  const program = converse('values', { master });
  await program.line('end');
  return program.seen(event).map(({ args }) => args);
}
