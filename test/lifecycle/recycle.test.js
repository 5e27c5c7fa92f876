// Workers that are replaced while they still serve, and the messages by which workers speak to all of the cluster.
'use strict';

const assert = require('node:assert/strict');

const {
  connect, connectTo, died, eventually, masterEvents, reap, request, startCluster, underWay,
} = require('../support');

const IN_ORDER = ['forked', 'listening', 'forked', 'listening', 'died'];

describe('a recycle', () => {
  afterEach(reap);

  it('comes when a worker accepted more connections than connThreshold, and loses no request', async () => {
    const program = await startCluster({ noWorkers: 1, connThreshold: 5, keepAliveGrace: 50 });
    const [old] = program.workers;
    for (let count = 0; count < 5; count += 1) await request(program.port);
    const busy = await underWay(program, old, '/slow?1500');
    const hello = async () => assert.equal((await request(program.port)).body, 'hello');
    while (program.seen('listening').length < 2) await hello();
    // Not so many that the successor reaches its own threshold.
    for (let count = 0; count < 3; count += 1) await hello();
    const { code, signal } = await died(program, old);
    assert.deepEqual([code, signal], [0, null]);
    await busy.until(/\r\n\r\nslow$/);
    const interrupted = program.seen(({ event, pid }) => event === 'SIGINT' && pid === old);
    assert.deepEqual(interrupted.map(({ args }) => args), [[{ pid: old, type: 'worker' }]]);
    assert.deepEqual(masterEvents(program, 'forked', 'listening', 'died').slice(0, 5), IN_ORDER);
  });

  for (const [when, connThreshold] of [
    ['where that is asked for', 10000],
    ['by default, but not in the first minutes', undefined],
  ]) {
    it(`comes after 10,000 connections ${when}`, async function test() {
      this.timeout(60000);
      const program = await startCluster({ noWorkers: 1, connThreshold, heartbeatInterval: 1000, keepAliveGrace: 50 });
      const [worker] = program.workers;
      const clients = Array.from({ length: 20 }, async () => {
        for (let count = 0; count < 501; count += 1) (await connect(program.port)).close();
      });
      await Promise.all(clients);
      if (connThreshold) {
        assert.equal((await died(program, worker)).code, 0);
      } else {
        // The worker looks once a second.
        const hasMore = ({ event, role, args: [beat] }) => {
          return event === 'heartbeat' && role === 'worker' && beat.totalConnections > 10000;
        };
        await program.lines(hasMore, 3, { within: 20000 });
      }
      assert.equal(program.seen('forked').length, connThreshold ? 2 : 1);
    });
  }

  it('comes when a worker is older than uptimeThreshold', async () => {
    const program = await startCluster({ noWorkers: 1, uptimeThreshold: 0.5, keepAliveGrace: 50 });
    const { code, signal } = await died(program, program.workers[0]);
    assert.deepEqual([code, signal], [0, null]);
    assert.deepEqual(masterEvents(program, 'forked', 'listening', 'died').slice(0, 5), IN_ORDER);
  });

  it('comes when a worker got more requests than requestThreshold, also over few connections', async () => {
    const program = await startCluster({ noWorkers: 1, requestThreshold: 20, keepAliveGrace: 50 });
    const [old] = program.workers;
    const connection = await connectTo(program.port, old);
    for (let count = 0; count < 19; count += 1) {
      connection.received = '';
      await connection.get().until(/hello$/);
    }
    // One more than a second later it is still there, and the next request is one too many.
    const look = performance.now() + 1100;
    await eventually(() => performance.now() > look);
    assert.deepEqual(masterEvents(program, 'forked', 'died'), ['forked']);
    await connection.get();
    assert.match((await died(program, old)).reason, /number of requests/);
    assert.deepEqual(masterEvents(program, 'forked', 'listening', 'died').slice(0, 5), IN_ORDER);
  });

  it('comes when a worker is larger than memoryThreshold', async () => {
    const program = await startCluster({ noWorkers: 1, memoryThreshold: '1mb', keepAliveGrace: 50 });
    assert.match((await died(program, program.workers[0])).reason, /memory limit/);
    assert.deepEqual(masterEvents(program, 'forked', 'listening', 'died').slice(0, 5), IN_ORDER);
  });

  it('ends a worker that is overdue, first by order and then by SIGKILL, with one successor each', async () => {
    const program = await startCluster({ noWorkers: 2, recycleTimeout: 300, killTimeout: 200, keepAliveGrace: 50 });
    const [busy, blocked] = program.workers;
    await underWay(program, busy, '/never');
    await underWay(program, busy, '/suicide');
    assert.equal((await died(program, busy)).code, 0);
    const connection = await connectTo(program.port, blocked);
    connection.get('/suicide').get('/block?');
    assert.equal((await died(program, blocked)).signal, 'SIGKILL');
    assert.equal(program.seen('forked').length, 4);
    assert.equal((await request(program.port)).body, 'hello');
  });

  it("comes at a worker's own request, for one after the other when both ask", async () => {
    const program = await startCluster({ noWorkers: 2, keepAliveGrace: 50 });
    for (const worker of program.workers) await underWay(program, worker, '/suicide');
    for (const worker of program.workers) assert.equal((await died(program, worker)).code, 0);
    const inTurn = ['forked', 'listening', 'died'];
    assert.deepEqual(masterEvents(program, ...inTurn),
      ['forked', 'forked', 'listening', 'listening', ...inTurn, ...inTurn]);
    assert.equal((await request(program.port)).body, 'hello');
  });
});

describe('a message with a command', () => {
  afterEach(reap);

  it('from one worker reaches all workers, the sender included', async () => {
    const program = await startCluster({ noWorkers: 3 });
    await request(program.port, { path: '/command' });
    const heard = await program.lines('command', 3);
    assert.deepEqual(heard.map(({ pid }) => pid).sort(), [...program.workers].sort());
    const { pid: sender } = await program.line('request');
    for (const { args } of heard) assert.deepEqual(args, [{ command: 'wave', from: sender }]);
  });
});
