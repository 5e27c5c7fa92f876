// Exceptions that nobody catches, in a worker that serves: `onUncaughtException`, and a handler of the application.
'use strict';

const assert = require('node:assert/strict');

const { spawnSync } = require('node:child_process');

const {
  connect, died, eventually, masterEvents, ready, reap, request, start, startCluster, underWay,
} = require('../support');

// Sends a request that fails, and goes once it has come: it is never answered, so a client that stayed would hold the
// worker until the idle timeout.
async function provoke(program, path, sign = 'request') {
  const client = await connect(program.port);
  client.get(path);
  await program.line(({ event, args }) => event === sign && (sign !== 'request' || args[0] === path));
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

  it('is ignored with continue before the worker serves, too', async () => {
    const options = { noWorkers: 1, onUncaughtException: 'continue' };
    const program = await ready(start('exceptions', { options, env: { AT_START: 'callback' } }), 1);
    const { args: [{ message }] } = await program.line('warning');
    assert.match(message, /thrown at the start/);
    assert.match(program.stderr, /Error: thrown at the start\n\s+at /);
    assert.equal((await request(program.port, { path: '/pid' })).body, String(program.workers[0]));
    assert.equal(program.seen('forked').length, 1);
  });

  it('ends the worker with continue if createApp throws it, since the worker will never serve', async () => {
    const options = { noWorkers: 1, onUncaughtException: 'continue' };
    const program = start('exceptions', { options, env: { AT_START: 'createApp' } });
    const { args: [, { code, reason }] } = await program.line('died');
    assert.equal(code, 1);
    assert.match(reason, /thrown by createApp/);
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

describe('an exception beside listeners that only report', () => {
  afterEach(reap);

  for (const handler of ['domain', 'sentry', 'posthog', 'both']) {
    it(`(${handler}) is printed, warned of, and has the worker replaced all the same`, async () => {
      const program = await begin(handler);
      const [worker] = program.workers;
      await request(program.port, { path: '/error' });
      const { args: [{ message }] } = await program.line('warning');
      assert.match(message, /plain/);
      const { code, signal } = await died(program, worker);
      assert.deepEqual([code, signal], [0, null]);
      await program.lines('listening', 2);
      assert.match(program.stderr, /^Error: plain\n\s+at /);
      assert.equal(program.seen('captured').length, handler === 'domain' ? 0 : 1);
    });
  }

  it('(sentry7) is printed and warned of, and the worker is replaced when the listener has ended it', async () => {
    const program = await begin('sentry7');
    await request(program.port, { path: '/error' });
    await program.line('warning');
    assert.equal((await died(program, program.workers[0])).code, 1);
    await program.lines('listening', 2);
    assert.match(program.stderr, /^Error: plain\n\s+at /);
  });

  for (const handler of ['own', 'ownOnce', 'ownAndDomain']) {
    it(`(${handler}) is the application's where it listens itself`, async () => {
      const program = await begin(handler);
      await request(program.port, { path: '/error' });
      assert.deepEqual((await program.line('handled')).args, ['plain']);
      assert.equal((await request(program.port, { path: '/pid' })).body, String(program.workers[0]));
      assert.equal(program.stderr, '');
      assert.deepEqual(masterEvents(program, 'forked', 'warning'), ['forked']);
      assert.deepEqual(program.seen('warning'), []);
    });
  }

  it('is the domain\'s where it has a listener for its errors', async () => {
    const program = await begin('inDomain');
    await provoke(program, '/inDomain', 'in the domain');
    assert.equal((await request(program.port, { path: '/pid' })).body, String(program.workers[0]));
    assert.equal(program.stderr, '');
    assert.equal(program.seen('warning').length, 0);
  });
});

describe('an exception is printed', () => {
  afterEach(reap);

  // What Node prints for an error that ends a process, without the line of code above it and the version below it.
  function printedByNode(thrown) {
    const code = `const cause = Object.assign(new RangeError('the cause'), { code: 'E_CAUSE' }); throw ${thrown}`;
    const node = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
    const { stderr } = spawnSync(node, ['-e', code], { encoding: 'utf8' });
    return stderr.slice(stderr.search(/^(\w*Error)/m), stderr.search(/^Node\.js v/m));
  }
  const withoutPlaces = (text) => text.replace(/\n\s+at .*?( \{)?$|\n\s*\.{3} .*?( \{)?$/gm, '$1$2').trim();

  for (const [name, thrown] of [
    ['cause', "Object.assign(new Error('outer', { cause }), { code: 'E_OUTER', details: { at: 7 } })"],
    ['aggregate', "new AggregateError([new TypeError('one of two'), cause], 'all of them')"],
  ]) {
    it(`as Node does it, with its properties and ${name === 'cause' ? 'cause' : 'errors'}`, async () => {
      const program = await begin('domain', { onUncaughtException: 'continue' });
      await request(program.port, { path: `/${name}` });
      await program.line('warning');
      await eventually(() => program.stderr.includes('E_CAUSE'));
      assert.equal(withoutPlaces(program.stderr), withoutPlaces(printedByNode(thrown)));
    });
  }

  for (const name of ['text', 'symbol', 'bare', 'undefined', 'getter']) {
    it(`and no reason to end at once, whatever is thrown: ${name}`, async () => {
      const program = await begin(undefined, { onUncaughtException: 'continue' });
      await request(program.port, { path: `/${name}` });
      await program.line('warning');
      assert.equal((await request(program.port, { path: '/pid' })).body, String(program.workers[0]));
      await eventually(() => program.stderr !== '');
    });
  }

  it('beside what a listener for the warning throws, once each', async () => {
    const program = await begin(undefined, { WARNING_THROWS: '1' });
    await request(program.port, { path: '/error' });
    assert.equal((await died(program, program.workers[0])).code, 0);
    assert.equal(program.stderr.match(/^Error: plain/gm).length, 1);
    assert.equal(program.stderr.match(/^Error: thrown by a listener for warning/gm).length, 1);
  });
});

function begin(handler, { WARNING_THROWS = '', ...options } = {}) {
  const env = { HANDLER: handler ?? '', WARNING_THROWS };
  return ready(start('exceptions', { options: { noWorkers: 1, keepAliveGrace: 50, ...options }, env }), 1);
}
