// Connections that were handed to a worker which is stopped before it serves them.
'use strict';

const assert = require('node:assert/strict');

const { connect, countDescriptors, eventually, ready, reap, request, start } = require('../support');

const CLIENTS = 40;
// What the master waits before it takes a connection back, and a busy machine.
const WITHIN_MS = 1500;
// Connections that are under way, and what they came from.
const MOST_UNDER_WAY = 10;

describe('a worker that is stopped', function () {
  this.timeout(60000);
  afterEach(reap);

  for (const scheduling of ['rr', 'slots']) {
    it(`keeps no new client waiting while others are idle (${scheduling})`, async () => {
      const program = start('lost-channel', { options: { noWorkers: 4, scheduling } });
      await program.lines('listening', 4);
      const { args: [port] } = await program.line('port');
      const stopped = program.seen('forked')[0].args[0];
      process.kill(stopped, 'SIGSTOP');
      try {
        const served = [];
        for (let client = 0; client < CLIENTS; client += 1) {
          served.push((await request(port, { within: WITHIN_MS })).body);
        }
        assert.ok(!served.includes(String(stopped)));
      } finally {
        process.kill(stopped, 'SIGCONT');
      }
      // It refuses what was taken back from it, and serves again.
      const pids = await Promise.all(Array.from({ length: CLIENTS }, async () => (await request(port)).body));
      assert.equal(pids.length, CLIENTS);
      assert.deepEqual(program.seen('died'), []);
    });
  }

  it('holds no descriptor of the master for what was taken back from it', async () => {
    const program = start('lost-channel', { options: { noWorkers: 4, scheduling: 'rr' } });
    await program.lines('listening', 4);
    const { args: [port] } = await program.line('port');
    const before = countDescriptors(program.pid);
    const stopped = program.seen('forked')[0].args[0];
    process.kill(stopped, 'SIGSTOP');
    for (let client = 0; client < 2 * CLIENTS; client += 1) await request(port, { within: WITHIN_MS });
    const more = countDescriptors(program.pid) - before;
    process.kill(stopped, 'SIGCONT');
    assert.ok(more <= MOST_UNDER_WAY, `${more} descriptors`);
  });

  it('is the only one to serve what was not taken back, also where its script makes no Cluster', async () => {
    const program = start('loads-only', { options: { noWorkers: 2, scheduling: 'rr' } });
    const { args: [port] } = await program.line('port');
    await program.lines('listening', 2);
    const stopped = program.seen('forked')[0].args[0];
    process.kill(stopped, 'SIGSTOP');
    const pids = [];
    for (let client = 0; client < 8; client += 1) pids.push((await request(port, { within: WITHIN_MS })).body);
    process.kill(stopped, 'SIGCONT');
    assert.ok(!pids.includes(String(stopped)));
    // What it was handed before, it has heard of by then.
    await eventually(async () => (await request(port)).body === String(stopped), { what: 'an answer of its own' });
    const clients = program.seen('accepted').map(({ args: [remote] }) => remote);
    assert.deepEqual(clients.filter((remote, at) => clients.indexOf(remote) !== at), [], 'served by two');
  });
});

describe('a connection that a worker gives back when the cluster shuts down', () => {
  afterEach(reap);

  it('stays with its worker, since nobody else takes clients any more', async () => {
    const program = await ready(start('gives-back-late', { options: { noWorkers: 1 } }), 1);
    const connection = await connect(program.port);
    await program.line('connected');
    program.kill('SIGTERM');
    assert.deepEqual((await program.line('answered')).args, [false]);
    await connection.ended();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });
});
