// What an application has to do at its end: `c.cleanup`, its own listeners for signals, `close()` of its framework.
// It is done after the last answer, at every drain, and awaited.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');

const { WebSocket } = require('ws');

const { connect, died, ready, reap, start, underWay } = require('../support');

const OPTIONS = { noWorkers: 1, keepAliveGrace: 50 };

async function startEnding(kind, options) {
  return ready(start('endings', { args: [kind], options: { ...OPTIONS, ...options } }), 1);
}

const inWorker = (program) => program.seen(({ role }) => role === 'worker');
const names = (lines, ...wanted) => lines.map(({ event, args }) => [event, ...args].join(' '))
  .filter((text) => wanted.some((name) => text.startsWith(name)));

// A request under way when `leave` is called; answered then.
async function leaveBusy(program, leave) {
  const [worker] = program.workers;
  const busy = await underWay(program, worker, '/hold');
  leave(worker);
  await program.line('draining');
  process.kill(worker, 'SIGUSR2');
  await busy.until(/\r\n\r\nheld$/);
  return died(program, worker);
}

const LEAVES = {
  'a shutdown': (program) => program.kill('SIGTERM'),
  'SIGTERM to the worker': (program, worker) => process.kill(worker, 'SIGTERM'),
};

describe('c.cleanup', () => {
  afterEach(reap);

  for (const signal of ['SIGTERM', 'SIGINT']) {
    it(`runs after the last answer of a worker, in the order given, at ${signal} to it`, async () => {
      const program = await startEnding('cleanup');
      const facts = await leaveBusy(program, (worker) => process.kill(worker, signal));
      assert.deepEqual([facts.code, facts.signal], [0, null]);
      assert.deepEqual(names(inWorker(program), 'draining', 'answered', 'clean'),
        ['draining', 'answered', 'cleaning 1', 'cleaned 1', 'cleaned 2']);
    });
  }

  it('runs in the workers and then in the master, when the cluster is shut down', async () => {
    const program = await startEnding('cleanup');
    const facts = await leaveBusy(program, () => program.kill('SIGTERM'));
    assert.equal(facts.code, 0);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const cleaned = program.seen(({ event }) => event === 'cleaned' || event === 'died');
    assert.deepEqual(cleaned.map(({ event, role }) => `${event} ${role}`),
      ['cleaned worker', 'cleaned worker', 'died master', 'cleaned master', 'cleaned master']);
  });

  it('runs in every worker that a reload replaces', async () => {
    const program = await startEnding('cleanup');
    process.kill(program.pid, 'SIGUSR2');
    assert.equal((await died(program, program.workers[0])).code, 0);
    assert.deepEqual(names(inWorker(program), 'clean'), ['cleaning 1', 'cleaned 1', 'cleaned 2']);
  });

  it('that fails is warned of, and the next one runs', async () => {
    const program = await startEnding('failing cleanup');
    process.kill(program.workers[0], 'SIGTERM');
    assert.equal((await died(program, program.workers[0])).code, 0);
    const { args: [{ message }] } = await program.line(({ event, role }) => event === 'warning' && role === 'master');
    assert.match(message, /cleanup.*could not flush/);
    assert.deepEqual(names(inWorker(program), 'cleaned'), ['cleaned 2']);
  });

  it('that never ends is ended at the deadline, in the worker and in the master', async () => {
    const program = await startEnding('endless cleanup', { shutdownTimeout: 300 });
    const from = performance.now();
    program.kill('SIGTERM');
    assert.equal((await died(program, program.workers[0])).code, 0);
    assert.ok(performance.now() - from >= 290);
    const workersGone = performance.now();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const took = performance.now() - workersGone;
    assert.ok(took > 1900 && took < 3000, `the master took ${took} ms`);
  });

  it('runs although a WebSocket held the worker until its deadline', async () => {
    const program = await startEnding('websocket', { shutdownTimeout: 300 });
    const client = new WebSocket(`ws://127.0.0.1:${program.port}`);
    await once(client, 'open');
    const closed = once(client, 'close');
    program.kill('SIGTERM');
    assert.equal((await closed)[0], 1001);
    assert.equal((await died(program, program.workers[0])).code, 0);
    assert.deepEqual(names(inWorker(program), 'cleaned'), ['cleaned 1']);
  });

  it('leaves a worker to end when its loop is empty, at the latest at the deadline', async () => {
    const program = await startEnding('keeps a timer after cleaning up', { shutdownTimeout: 500 });
    const from = performance.now();
    program.kill('SIGTERM');
    await program.line(({ event, role }) => event === 'cleaned' && role === 'worker');
    assert.equal((await died(program, program.workers[0])).code, 0);
    const took = performance.now() - from;
    assert.ok(took >= 490 && took < 1500, `took ${took} ms`);
  });

  it('runs in a process without workers', async () => {
    const program = start('endings', { args: ['cleanup'], options: { cluster: false, keepAliveGrace: 50 } });
    await program.line('callback');
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.deepEqual(names(program.seen(), 'clean'), ['cleaning 1', 'cleaned 1', 'cleaned 2']);
  });
});

describe("an application's own listener for SIGTERM or SIGINT in a worker", () => {
  afterEach(reap);

  for (const [name, leave] of Object.entries(LEAVES)) {
    it(`runs after the last answer at ${name}; one that exits loses nothing`, async () => {
      const program = await startEnding('exits on signals');
      const facts = await leaveBusy(program, (worker) => leave(program, worker));
      assert.equal(facts.code, 3);
      assert.deepEqual(names(inWorker(program), 'draining', 'answered', 'heard'),
        ['draining', 'answered', 'heard SIGTERM 15']);
    });
  }

  it('for SIGTERM runs at a reload as well, and the process ends when its loop is empty', async () => {
    const program = await startEnding('works on after SIGTERM');
    process.kill(program.pid, 'SIGUSR2');
    assert.equal((await died(program, program.workers[0])).code, 0);
    assert.deepEqual(names(inWorker(program), 'draining', 'worked'), ['draining', 'worked on']);
  });

  it('closes its server as if nobody had before', async () => {
    const program = await startEnding('closes its server');
    const facts = await leaveBusy(program, () => program.kill('SIGTERM'));
    assert.equal(facts.code, 0);
    assert.deepEqual(names(inWorker(program), 'answered', 'close'), ['answered', 'close', 'closed ']);
  });

  it('finds itself alone; the signal that it sends again ends the process, in the master too', async () => {
    const program = await startEnding('signal-exit');
    const facts = await leaveBusy(program, () => program.kill('SIGTERM'));
    assert.deepEqual([facts.code, facts.signal], [0, null]);
    assert.deepEqual(names(inWorker(program), 'answered', 'others'), ['answered', 'others 0']);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.seen('others').length, 2);
  });
});

describe("an application's own listener for SIGTERM in the master", () => {
  afterEach(reap);

  it('runs when the cluster has been shut down; one that exits loses nothing', async () => {
    const program = await startEnding('exits on signals');
    await leaveBusy(program, () => program.kill('SIGTERM'));
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const lines = program.seen(({ event, role }) => role === 'master' && ['died', 'heard'].includes(event));
    assert.deepEqual(lines.map(({ event }) => event), ['died', 'heard']);
  });
});

describe("an app's own close()", () => {
  afterEach(reap);

  for (const kind of ['fastify', 'an object with close']) {
    it(`is called and awaited after the last answer: ${kind}`, async () => {
      const program = await startEnding(kind);
      const facts = await leaveBusy(program, () => program.kill('SIGTERM'));
      assert.equal(facts.code, 0);
      assert.deepEqual(names(inWorker(program), 'answered', 'closing', 'closed'), ['answered', 'closing', 'closed']);
    });
  }
});

describe('await c.shutdown() in the master', () => {
  afterEach(reap);

  it('lets what follows go on until the loop is empty', async () => {
    const program = await startEnding('shuts down by itself');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.deepEqual(names(program.seen(), 'resolved', 'flushed'), ['resolved', 'flushed']);
  });

  it('ends the process 2 s after it has resolved, whatever keeps it', async () => {
    const program = start('endings', { args: ['shuts down by itself', 'for ever'], options: OPTIONS });
    const { at } = await program.line('resolved');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const took = Date.now() - at;
    assert.ok(took > 1900 && took < 3000, `took ${took} ms`);
  });
});

describe('an application that has nothing to do at its end', () => {
  afterEach(reap);

  it('ends at once, although a timer of its own runs', async () => {
    const program = await startEnding('keeps a timer');
    const connection = await connect(program.port);
    await connection.get().until(/hello$/);
    connection.close();
    const from = performance.now();
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.ok(performance.now() - from < 1500);
  });
});

describe('a worker on a Node whose inside is not as it is known', () => {
  afterEach(reap);

  it('says once what is missing and what is not promised then', async () => {
    const program = await startEnding('without _storeHeader');
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const warnings = program.seen(({ event, role }) => event === 'warning' && role === 'master');
    assert.deepEqual(warnings.map(({ args: [{ message }] }) => message.replace(/worker \d+: Node v\S+ /, '')),
      ['lacks "the headers of an answer" (node-internals.js): ' +
        'a worker that leaves answers without "Connection: close"']);
  });
});
