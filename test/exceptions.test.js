// Exceptions that nobody catches, in a worker that serves: `onUncaughtException`, and a handler of the application.
'use strict';

const assert = require('node:assert/strict');

const { connect, died, masterEvents, reap, request, startCluster, underWay } = require('./support');

// Sends a request that fails, and goes once it has come: it is never answered, so a client that stayed would hold the
// worker until the idle timeout.
async function provoke(program, path) {
  const client = await connect(program.port);
  client.get(path);
  await program.line(({ event, args }) => event === 'request' && args[0] === path);
  client.close();
}

describe('an exception that a worker does not catch', () => {
  afterEach(reap);

  for (const path of ['/throw', '/reject']) {
    it(`(${path}) is printed, warned of, and has the worker replaced once its successor listens`, async () => {
      const program = await startCluster({ noWorkers: 1, keepAliveGrace: 50 });
      const [worker] = program.workers;
      const busy = await underWay(program, worker, '/slow?500');
      await provoke(program, path);

      const { pid, args: [{ message }] } = await program.line('warning');
      assert.equal(pid, worker);
      assert.match(message, /by a handler/);
      const facts = await died(program, worker);
      assert.deepEqual([facts.code, facts.signal], [0, null]);
      await busy.until(/\r\n\r\nslow$/);
      assert.match(program.stderr, /Error: (thrown|rejected) by a handler\n\s+at /);
      assert.deepEqual(masterEvents(program, 'forked', 'listening', 'died'),
        ['forked', 'listening', 'forked', 'listening', 'died']);
      assert.notEqual((await request(program.port, { path: '/pid' })).body, String(worker));
    });
  }

  it('costs a slot one recycle at most while it backs off, and the worker goes on after further ones', async () => {
    const program = await startCluster({ noWorkers: 1, keepAliveGrace: 50 });
    await provoke(program, '/throw');
    await died(program, program.workers[0]);
    const { body: successor } = await request(program.port, { path: '/pid' });
    for (let thrown = 2; thrown <= 6; thrown += 1) {
      await provoke(program, '/throw');
      await program.lines('warning', thrown);
    }
    assert.equal((await request(program.port, { path: '/pid' })).body, successor);
    assert.equal(program.seen('forked').length, 2);
  });

  it('is printed and otherwise ignored with continue', async () => {
    const program = await startCluster({ noWorkers: 1, onUncaughtException: 'continue' });
    const [worker] = program.workers;
    await provoke(program, '/throw');
    await program.line('warning');
    assert.equal((await request(program.port, { path: '/pid' })).body, String(worker));
    assert.match(program.stderr, /Error: thrown by a handler\n\s+at /);
    assert.deepEqual(masterEvents(program, 'forked', 'died'), ['forked']);
  });

  it('ends the worker with status 1 with exit, and died says why', async () => {
    const program = await startCluster({ noWorkers: 1, onUncaughtException: 'exit' });
    await provoke(program, '/throw');
    const { code, reason } = await died(program, program.workers[0]);
    assert.equal(code, 1);
    assert.match(reason, /thrown by a handler/);
    assert.match(program.stderr, /Error: thrown by a handler\n\s+at /);
    await program.lines('listening', 2);
    assert.equal((await request(program.port)).body, 'hello');
  });

  it('is left to a handler of the application', async () => {
    const program = await startCluster({ noWorkers: 1 }, { env: { OWN_HANDLER: '1' } });
    const [worker] = program.workers;
    await provoke(program, '/throw');
    assert.deepEqual((await program.line('handled')).args, ['thrown by a handler']);
    assert.equal((await request(program.port, { path: '/pid' })).body, String(worker));
    assert.equal(program.stderr, '');
    assert.deepEqual(masterEvents(program, 'forked', 'died'), ['forked']);
    assert.equal(program.seen('warning').length, 0);
  });
});
