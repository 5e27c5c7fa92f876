// When patience ends: the deadline of a shutdown, SIGKILL after it, and a master that is killed itself.
'use strict';

const assert = require('node:assert/strict');

const Cluster = require('../..');
const { connect, connectTo, died, ready, reap, start, startCluster, underWay } = require('../support');

describe('the deadline of a shutdown', () => {
  afterEach(reap);

  it('ends an answer that never ends, and a warning says what was still open', async () => {
    const program = await startCluster({ noWorkers: 1, shutdownTimeout: 300, killTimeout: 2000, keepAliveGrace: 50 });
    const [worker] = program.workers;
    const connection = await connectTo(program.port, worker);
    await connection.get('/never').until(/never/);
    const from = performance.now();
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const took = performance.now() - from;
    assert.ok(took >= 290 && took < 1500, `took ${took} ms`);
    await connection.ended();
    assert.equal((await died(program, worker)).code, 0);
    const warnings = program.seen(({ event, role }) => event === 'warning' && role === 'master');
    assert.equal(warnings.length, 1);
    assert.match(warnings[0].args[0].message, /1 http\b/);
  });

  it('is followed by SIGKILL for a worker that is blocked, killTimeout later', async () => {
    const program = await startCluster({ noWorkers: 2, shutdownTimeout: 300, killTimeout: 200, keepAliveGrace: 50 });
    const [blocked, free] = program.workers;
    await underWay(program, blocked, '/block?');
    const from = performance.now();
    program.kill('SIGTERM');
    const facts = await died(program, blocked);
    const took = performance.now() - from;
    assert.deepEqual([facts.code, facts.signal], [null, 'SIGKILL']);
    assert.ok(took >= 490 && took < 1700, `took ${took} ms`);
    assert.equal((await died(program, free)).code, 0);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.seen('forked').length, 2);
  });

  it('is followed by the end of all within 4 s and killTimeout, which is within 30 s by default', async () => {
    const options = { noWorkers: 1, shutdownTimeout: 500, killTimeout: 300 };
    const program = await ready(start('endings', { args: ['endless cleanup'], options }), 1);
    const [worker] = program.workers;
    process.kill(worker, 'SIGSTOP');
    // It waits in the queue of a worker that never comes, and the clean-up in the master never ends.
    await connect(program.port);
    const from = performance.now();
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit({ within: 10000 }), { code: 0, signal: null });
    const took = performance.now() - from;
    assert.ok(took >= 4700 && took < 5800, `took ${took} ms`);
    const { drainDelay, killTimeout, shutdownTimeout } = Cluster.defaultOptions;
    assert.ok(drainDelay + shutdownTimeout + killTimeout + 4000 < 30_000);
  });

  it('is far enough for clients who wait while every event loop stands still', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const blocked = await underWay(program, program.workers[0], '/block?3500');
    const clients = await Promise.all([1, 2, 3].map(() => connect(program.port)));
    const answers = clients.map((client) => client.get('/pid').until(/\r\n\r\n\d+$/));
    program.kill('SIGTERM');
    await Promise.all(answers);
    for (const client of [blocked, ...clients]) client.close();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('is kept for a raw connection that nobody closes', async () => {
    const program = start('api-apps', { args: ['tcp'], options: { noWorkers: 1, shutdownTimeout: 200 } });
    await ready(program, 1);
    const connection = await connect(program.port);
    await connection.until(/hello/);
    program.kill('SIGTERM');
    await connection.ended();
    assert.deepEqual(await program.exit({ within: 3000 }), { code: 0, signal: null });
  });
});

describe('startTimeout', () => {
  afterEach(reap);

  it('has a worker that does not listen in time killed and replaced', async () => {
    const program = start('api-slow-start', { options: { noWorkers: 1, startTimeout: 500 } });
    const { args: [pid, { signal, reason }] } = await program.line('died');
    assert.equal(signal, 'SIGKILL');
    assert.match(reason, /listen|start/i);
    const { args: [successor] } = await program.line('listening');
    assert.notEqual(successor, pid);
  });
});

describe('kill -9 of the master', () => {
  afterEach(reap);

  it('leaves no process after a second, whatever the workers were doing', async () => {
    const program = await startCluster({ noWorkers: 3 });
    const [blocked, busy] = program.workers;
    await underWay(program, busy, '/slow?60000');
    await underWay(program, blocked, '/block?');
    program.kill('SIGKILL');
    await program.exit();
    await program.gone({ within: 1000 });
  });

  it('leaves no process when it comes while workers start', async () => {
    const program = start('api-slow-start', { options: { noWorkers: 2 } });
    await program.lines('forked', 2);
    program.kill('SIGKILL');
    await program.exit();
    await program.gone({ within: 1000 });
  });
});
