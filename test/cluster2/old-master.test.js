// What old scripts and libraries see in the master: Node's `cluster` module, `process.cluster`, command messages;
// and the names under which the package can be had.
'use strict';

const assert = require('node:assert/strict');

const { start, reap, isAlive, PACKAGE } = require('../support');

describe('the master, as old scripts see it', function () {
  this.timeout(20000);
  afterEach(reap);

  it('fills `cluster.settings` and `process.cluster`, and refuses to fork', async () => {
    const program = start('old-master', { args: ['look', 'more'], execArgv: ['--no-warnings'] });
    const seen = async (event) => (await program.line(event)).args[0];
    assert.deepEqual(await seen('settings'), {
      isOurs: true, args: ['look', 'more'], execArgv: ['--no-warnings'],
      isMaster: true, isPrimary: true, isWorker: false,
    });
    const pids = program.seen('listening').map(({ args: [pid] }) => pid).sort();
    const { same, ...rest } = await seen('process.cluster');
    assert.deepEqual({ ...rest, pids: rest.pids.sort() }, { clustered: true, isEmitter: true, pids });
    assert.deepEqual(same.sort(), pids);
    assert.equal(await seen('refused'), 'ERR_CLUSTER2_FORK');
  });

  it('is refused with a code where it asks for messages that are not JSON', async () => {
    const program = start('old-master', { args: ['advanced'] });
    assert.deepEqual(await program.exit(), { code: 1, signal: null });
    assert.match(program.stderr, /'advanced'.*ERR_CLUSTER2_SERIALIZATION/s);
    assert.equal(program.seen('listening').length, 0);
  });

  it('lets `cluster.disconnect` call back when all workers are gone', async () => {
    const program = start('old-master', { args: ['disconnect'] });
    assert.deepEqual((await program.line('disconnected')).args, [[]]);
    for (const { args: [pid] } of program.seen('listening')) assert.ok(!isAlive(pid));
    assert.ok(program.isRunning);
  });

  it('passes a command of one worker on to all, the sender included', async () => {
    const program = start('old-master', { args: ['command'] });
    const messages = await program.lines('message', 2);
    const pids = program.seen('listening').map(({ args: [pid] }) => pid);
    assert.deepEqual(messages.map(({ pid }) => pid).sort(), pids.sort());
    for (const { args: [message] } of messages) {
      assert.ok(pids.includes(message.from));
      assert.deepEqual(message, { command: 'wave', from: message.from, more: [1] });
    }
  });
});

describe('the package', function () {
  this.timeout(20000);
  afterEach(reap);

  it('can be imported by each of its names, in a script with top-level await', async () => {
    const program = start('imports.mjs');
    const names = await program.lines('names', 3);
    for (const { args: [found], role } of names) {
      assert.deepEqual(found, [true, 'Cluster2Error', 'string', role === 'master']);
    }
    await program.lines('listening', 2);
  });

  it('is the constructor when it is required', () => {
    const Cluster = require(PACKAGE);
    assert.equal(Cluster.Cluster, Cluster);
    assert.equal(Cluster.default, Cluster);
    assert.equal(new Cluster().options.port, 3000);
    assert.equal(new Cluster.Cluster2Error('CODE', 'text').code, 'CODE');
  });
});
