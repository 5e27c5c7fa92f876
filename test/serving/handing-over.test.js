// How createApp gives its app: by the callback, by returning it, not at all, or one that can't be served.
'use strict';

const assert = require('node:assert/strict');

const { eventually, freePort, ready, reap, request, start } = require('../support');

function begin(SHAPE, options) {
  return start('handing-over', { options: { noWorkers: 1, ...options }, env: { SHAPE } });
}

describe('an app', function () {
  this.timeout(30000);
  afterEach(reap);

  for (const shape of [
    'returns it', 'returns a server', 'async, returns it', 'async, with a callback that it does not use',
    'takes a callback and returns it', 'returns a server that is ready later',
    'returns something else and calls back later', 'async, resolves with something else and calls back later',
    'waits for the master', 'waits for a message', 'waits until another server listens',
    'waits until a UDP socket is bound', 'waits for a component',
  ]) {
    it(`is served by workers where createApp ${shape}`, async () => {
      const program = await ready(begin(shape, { port: await freePort() }), 1);
      assert.equal((await request(program.port)).body, String(program.workers[0]));
      await program.lines('callback', 2);
      assert.equal(program.seen('forked').length, 1);
      assert.equal(program.stderr, '');
    });
  }

  it('may listen by itself before createApp hands over nothing', async () => {
    const port = await freePort();
    const program = begin('listens by itself, and hands nothing over', { port });
    const { args: [pid] } = await program.line('forked');
    await eventually(() => request(port).catch(() => undefined));
    assert.equal((await request(port)).body, String(pid));
    assert.equal(program.stderr, '');
  });

  it('may be about to listen by itself when the cluster ends: its worker leaves with 0 and says nothing', async () => {
    const program = begin('listens by itself when the cluster ends', { port: await freePort() });
    await program.line('waits');
    program.kill();
    const { args: [, { code, signal }] } = await program.line('died');
    assert.deepEqual([code, signal], [0, null]);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.stderr, '');
  });

  it('is served at its own port where createApp returns a list', async () => {
    const port = await freePort();
    const program = await ready(begin('returns a list', { port }), 1);
    assert.equal((await request(port)).body, String(program.workers[0]));
  });

  it('is served by the process itself where createApp returns it', async () => {
    const port = await freePort();
    const program = begin('returns it', { cluster: false, port });
    await eventually(() => request(port).catch(() => undefined));
    assert.equal((await request(port)).body, String(program.pid));
  });

  for (const shape of ['forgets', 'forgets, with a callback', 'forgets, async']) {
    for (const alone of [false, true]) {
      const where = alone ? ', with cluster: false' : '';
      it(`that createApp ${shape} is missed with a code and status 1${where}`, async () => {
        const program = begin(shape, { cluster: !alone });
        assert.deepEqual(await program.exit(), { code: 1, signal: null });
        assert.match(program.stderr, /neither called back .*ERR_CLUSTER2_NO_APP/s);
        assert.equal(program.seen('forked').length, 0);
      });
    }
  }

  for (const shape of ['forgets in workers', 'asks the master and forgets, in workers']) {
    it(`that createApp ${shape} is missed there, and died says so`, async () => {
      const program = begin(shape);
      const { args: [, { code, reason }] } = await program.line('died');
      assert.equal(code, 1);
      assert.match(reason, /neither called back/);
      if (shape.startsWith('asks')) await program.line('answered');
      program.kill();
      await program.exit();
    });
  }

  it('that createApp forgets in a new release fails the reload at once, with the reason', async () => {
    const program = await ready(begin('returns it'), 1);
    await request(program.port, { path: '/reload?forgets' });
    const { args: [code, message] } = await program.line('reload failed');
    assert.equal(code, 'ERR_CLUSTER2_RELOAD_FAILED');
    assert.match(message, /neither called back/);
    assert.equal((await request(program.port)).body, String(program.workers[0]));
  });

  it('that may still come is waited for, and after 10 s a warning says so', async () => {
    const program = begin('is busy and forgets');
    const { args: [{ message }] } = await program.line('warning', { within: 15000 });
    assert.match(message, /createApp.*10 s/);
    assert.ok(program.isRunning);
  });

  for (const [shape, names] of [
    ['hono', /Hono.*createAdaptorServer/],
    ['returns hono', /Hono.*createAdaptorServer/],
    ['hapi', /server\.initialize\(\).*server\.listener/],
    ['apollo', /ApolloServer.*expressMiddleware/],
    ['next', /app\.prepare\(\).*getRequestHandler/],
    ['h3', /toNodeListener/],
    ['h3 2', /toNodeHandler/],
    ['promise', /Promise.*await/],
    ['plain', /some: 'thing'/],
    ['text', /'app'/],
    ['bigint', /1n/],
    ['in a list', /Hono/],
    ['without ports', /no entry of the list is `\{app, port\}`/],
    ['twice in a list', /twice.*`port: \[80, 81\]`/],
  ]) {
    it(`that cannot be served is refused in the master with status 1: ${shape}`, async () => {
      const program = begin(shape, { port: await freePort() });
      assert.deepEqual(await program.exit(), { code: 1, signal: null });
      assert.match(program.stderr, names);
      assert.match(program.stderr, /ERR_CLUSTER2_INVALID_APP/);
      assert.equal(program.seen('forked').length, 0);
    });
  }
});
