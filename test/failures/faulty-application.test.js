// What the application gives and throws, wherever it is called, never ends the master or a worker by our fault.
'use strict';

const assert = require('node:assert/strict');

const { connect, died, eventually, freePort, ready, reap, request, start } = require('../support');

const STRANGE = ['bigint', 'circle', 'getter', 'toJSON', 'symbol', 'bare', 'undefined', 'rejects', 'thenable', 'error'];
// Text that no conversion to a primitive value survives.
const BARE = { toString: 1, valueOf: 1 };

describe('an application that gives and throws strange things', function () {
  this.timeout(60000);
  afterEach(reap);

  async function begin({ env, ...options } = {}) {
    const monPort = await freePort();
    const program = start('faulty', { options: { noWorkers: 1, monPort, monHost: '127.0.0.1', ...options }, env });
    await ready(program, 1);
    const ask = async (path, given) => {
      const query = given === undefined ? '' : `?${encodeURIComponent(JSON.stringify(given))}`;
      return JSON.parse((await request(program.port, { path: `${path}${query}` })).body || 'null');
    };
    return Object.assign(program, { ask, monitor: (path) => request(monPort, { path }) });
  }

  // The same processes go on, and print nothing.
  async function goesOn(program, forks = 1) {
    assert.equal(await program.ask('/'), 'hello');
    assert.equal((await program.monitor('/live')).status, 200);
    assert.equal(program.seen('forked').length, forks, program.output());
    assert.equal(program.stderr, '');
    assert.ok(program.isRunning);
  }

  for (const alone of [false, true]) {
    it(`gets a value or an error from /ComponentStatus${alone ? ', with cluster: false' : ''}`, async () => {
      const monPort = await freePort();
      const options = { noWorkers: 1, monPort, monHost: '127.0.0.1', cluster: !alone, port: await freePort() };
      const program = start('faulty', { options });
      if (!alone) await ready(program, 1);
      await eventually(() => request(monPort, { path: '/live' }).then(({ status }) => status === 200, () => false));
      for (const name of [...STRANGE, 'reduced']) {
        const { status, body } = await request(monPort, { path: `/ComponentStatus?component=${name}` });
        assert.ok([200, 500].includes(status), `${name}: ${status}`);
        JSON.parse(body);
      }
      const fine = await request(monPort, { path: '/ComponentStatus?component=fine' });
      assert.equal(fine.body, alone ? '1' : '2');
      await request(monPort, { path: '//ComponentStatus?component=fine' });
      assert.equal((await request(monPort, { path: '/live' })).status, 200);
      assert.ok(program.isRunning);
      assert.equal(program.stderr, '');
      const warned = program.seen('warning').map(({ args: [{ message }] }) => message);
      for (const name of ['bigint', 'circle', 'symbol']) {
        assert.ok(warned.some((message) => message.includes(`component ${name}`)), `${name}: ${warned}`);
      }
    });
  }

  it('has what its handlers give and throw told to the worker that asked', async () => {
    const program = await begin();
    for (const type of STRANGE) {
      const { code } = await program.ask('/delegate', [type]);
      assert.equal(code, 'ERR_CLUSTER2_DELEGATE_FAILED', type);
      await program.ask('/say', { type: 'delegate', delegate: type, expect: `${type}-read` });
      const { args: [{ error }] } = await program.line(({ event, args }) => {
        return event === 'message' && args[0].type === `${type}-read`;
      });
      assert.equal(error.code, 'ERR_CLUSTER2_DELEGATE_FAILED', type);
      // Nobody waits for this one.
      await program.ask('/say', { type: 'delegate', delegate: type });
    }
    assert.equal(await program.ask('/delegate', ['fine']), 'fine');
    await goesOn(program);
  });

  it('may answer with an event that cannot be sent, and change the question', async () => {
    const program = await begin();
    const { code, message } = await program.ask('/delegate', ['answers', { id: 1 }]);
    assert.equal(code, 'ERR_CLUSTER2_DELEGATE_FAILED', message);
    await program.ask('/say', { type: 'delegate', delegate: 'changes', expect: 'changed', timeout: 50 });
    const { args: [{ error }] } = await program.line(({ event, args }) => {
      return event === 'message' && args[0].type === 'changed';
    });
    assert.equal(error.code, 'ERR_CLUSTER2_DELEGATE_TIMEOUT');
    await goesOn(program);
  });

  it('may ask with fields that are no names and no numbers', async () => {
    const program = await begin();
    for (const field of ['targets', 'matches', 'timeout', 'timeOut', 'notification', 'call']) {
      for (const value of [BARE, [BARE]]) {
        await program.ask('/say', { type: 'delegate', delegate: 'fine', expect: 'fine-read', [field]: value });
      }
    }
    // As deep as a worker can send it.
    const nested = { depth: 4000, type: 'delegate', delegate: 'none', expect: 'none', matches: ['deep'] };
    await program.ask('/say', nested);
    for (const message of [null, [], 'text', { type: BARE }, { command: BARE }, { type: 'suicide ' }]) {
      await program.ask('/say', message);
    }
    assert.equal(await program.ask('/delegate', ['fine']), 'fine');
    await goesOn(program);
  });

  it('has its other metrics shown beside those that fail or never come', async () => {
    const program = await begin();
    await eventually(async () => (await program.monitor('/metrics')).body.includes('fine_total 1'));
    await goesOn(program);
  });

  for (const kind of ['throws', 'rejects']) {
    it(`is not well where its validator ${kind}`, async () => {
      const program = await begin({ env: { VALIDATOR: kind } });
      assert.equal((await request(program.port, { path: '/ecv' })).status, 500);
      await goesOn(program);
    });
  }

  for (const [signal, toWorker] of [['SIGTERM', false], ['SIGINT', false], ['SIGTERM', true]]) {
    it(`whose listeners throw in a worker drains it, at ${signal} to the ${toWorker ? 'worker' : 'master'}`,
      async () => {
        const program = await begin({ env: { FAULTS: 'inWorkers' }, keepAliveGrace: 50, heartbeatInterval: 200 });
        const [worker] = program.workers;
        await program.lines(({ event, pid, args }) => {
          return event === 'uncaught' && pid === worker && args[0] === 'in heartbeat';
        }, 2);
        if (toWorker) process.kill(worker, signal);
        else program.kill(signal);
        const { code, signal: by } = await died(program, worker);
        assert.deepEqual([code, by], [0, null]);
        const told = program.seen(({ event, pid }) => event === 'uncaught' && pid === worker);
        const names = told.map(({ args: [message] }) => message);
        assert.ok(names.includes(`in ${signal}`) && names.includes('in draining'), `${names}`);
        if (toWorker) program.kill();
        assert.deepEqual(await program.exit(), { code: 0, signal: null });
      });
  }

  it('has its workers heard and obeyed where it wraps what they send', async () => {
    const program = await begin({ env: { FAULTS: 'wrapsSend' }, keepAliveGrace: 50 });
    const [worker] = program.workers;
    assert.equal(await program.ask('/delegate', ['fine']), 'fine');
    await program.ask('/throw');
    const { code, reason } = await died(program, worker);
    assert.equal(code, 0);
    assert.match(reason, /^recycled after an uncaught exception/);
    await program.lines('listening', 2);
    program.kill();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  // Node itself closes no server of such a worker without an error, so it is ended at its deadline.
  it('may leave its workers without process.send', async () => {
    const options = { onUncaughtException: 'continue', shutdownTimeout: 300 };
    const program = await begin({ env: { FAULTS: 'takesSend' }, ...options });
    const [worker] = program.workers;
    await program.ask('/throw');
    await program.line(({ event, pid }) => event === 'warning' && pid === worker);
    assert.match(program.stderr, /^Error: thrown by a request\n(\s+at .*\n)+$/);
    assert.equal(await program.ask('/delegate', ['fine']), 'fine');
    assert.equal(program.seen('forked').length, 1);
    program.kill();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('may end with cluster: false though its listeners throw', async () => {
    const port = await freePort();
    const program = start('faulty', { options: { cluster: false, port }, env: { FAULTS: 'inWorkers' } });
    await eventually(() => request(port).catch(() => undefined));
    program.kill();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.deepEqual((await program.line('uncaught')).args, ['in SIGTERM']);
  });

  it('may report transactions whose duration is none', async () => {
    const program = await begin();
    await program.ask('/transaction');
    await goesOn(program);
  });

  it('whose listeners throw in the master is told everything else all the same, and ends as it should', async () => {
    const program = await begin({ env: { FAULTS: 'listeners' } });
    const [worker] = program.workers;
    await request(program.port, { path: '/crash' }).catch(() => {});
    assert.equal((await died(program, worker)).signal, 'SIGKILL');
    await program.lines('listening', 2);
    await program.ask('/say', { some: 'message' });
    const wanted = ['in component-status-initialized', 'in the callback', 'in cluster message',
      ...['forked', 'listening', 'died'].map((name) => `in ${name}`),
      ...['fork', 'online', 'listening', 'disconnect', 'exit'].map((name) => `in cluster ${name}`)];
    const told = () => new Set(program.seen('uncaught').map(({ args: [message] }) => message));
    await eventually(() => wanted.every((message) => told().has(message)), { what: `${wanted}` }).catch((error) => {
      throw new Error(`${error.message}: ${[...told()]}`);
    });
    program.kill();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.ok(told().has('in SIGTERM'));
  });
});

describe("an application that has put false timers in the place of Node's", () => {
  afterEach(reap);

  for (const alone of [false, true]) {
    it(`is drained all the same${alone ? ', with cluster: false' : ''}`, async () => {
      const options = { noWorkers: 1, port: await freePort(), keepAliveGrace: 100, shutdownTimeout: 15000 };
      const program = start('false-timers', { options: { ...options, cluster: !alone } });
      await program.line(({ event, role }) => event === 'callback' && (alone || role === 'worker'));
      const idle = await connect(options.port);
      await idle.get('/').until(/hello$/);
      program.kill('SIGTERM');
      await idle.ended({ within: 5000 });
      assert.deepEqual(await program.exit({ within: 5000 }), { code: 0, signal: null });
      assert.deepEqual(program.seen('warning'), []);
    });
  }

  it('has its workers watched, recycled and reloaded', async () => {
    const program = start('false-timers', { options: { noWorkers: 1, requestThreshold: 2, keepAliveGrace: 100 } });
    await ready(program, 1);
    for (let count = 0; count < 4; count += 1) await request(program.port, { agent: false });
    await program.lines('died', 1);
    process.kill(program.pid, 'SIGUSR2');
    await program.lines('died', 2);
    assert.equal((await request(program.port)).body, 'hello');
  });
});
