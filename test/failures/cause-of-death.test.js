// What `died` says of the cause: a sentence, the requests that were under way, and the last row of the scoreboard.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { makeMemoryCgroup } = require('../support/memory-cgroup');
const { connect, died, eventually, reap, ready, start } = require('../support');

/** Starts a worker, has it do what ends it, and gives what `died` says. */
async function die(path, { options, ...how } = {}) {
  const program = start('scoreboard', { options: { noWorkers: 1, ...options }, ...how });
  const { port, workers: [worker] } = await ready(program, 1);
  const client = await connect(port);
  client.get(path);
  const facts = await died(program, worker);
  client.close();
  return { ...facts, worker };
}

function assertCulprit({ requests, row, worker }, path) {
  assert.deepEqual(requests.map(({ method, path: of }) => `${method} ${of}`), [`GET ${path}`]);
  assert.ok(requests[0].ms >= 0 && requests[0].ms < 60_000, `${requests[0].ms} ms`);
  assert.deepEqual([row.pid, row.requestsUnderWay, row.connectionsOpen], [worker, 1, 1]);
}

describe('the cause of a death', () => {
  afterEach(reap);

  it('is the exit code', async () => {
    const facts = await die('/exit?3');
    assert.deepEqual([facts.code, facts.signal, facts.reason], [3, null, 'exit code 3']);
    assertCulprit(facts, '/exit');
  });

  it('is the signal', async () => {
    const program = await ready(start('scoreboard', { options: { noWorkers: 1 } }), 1);
    const [worker] = program.workers;
    const client = await connect(program.port);
    client.get('/never?secret');
    await program.line('request');
    process.kill(worker, 'SIGKILL');
    const facts = await died(program, worker);
    assert.deepEqual([facts.code, facts.signal, facts.reason], [null, 'SIGKILL', 'killed by SIGKILL']);
    assertCulprit({ ...facts, worker }, '/never');
    client.close();
  });

  it('is abort()', async () => {
    const facts = await die('/abort');
    assert.deepEqual([facts.signal, facts.reason], ['SIGABRT', 'killed by SIGABRT: it aborted itself']);
    assertCulprit(facts, '/abort');
  });

  for (const [path, how] of [['/hoard', 'in one go'], ['/leak', 'step by step']]) {
    it(`is the heap limit of V8, reached ${how}`, async () => {
      const facts = await die(path, { execArgv: ['--max-old-space-size=32'] });
      assert.match(facts.reason, /: the heap limit of V8 was reached \(32 MiB\)$/);
      assertCulprit(facts, path);
    });
  }

  it('is the memory limit of the cgroup', async () => {
    const cgroup = makeMemoryCgroup(256 * 2 ** 20);
    if (!cgroup) {
      // Not every machine lets its users make one, and none can be installed.
      console.log('      no cgroup can be made here: not tried');
      return;
    }
    try {
      const facts = await die('/hoard', { node: cgroup.node });
      const reason = 'killed by SIGKILL: out of memory, by the limit of its cgroup or of the machine';
      assert.deepEqual([facts.signal, facts.reason], ['SIGKILL', reason]);
      assertCulprit(facts, '/hoard');
    } finally {
      await reap();
      await eventually(() => fs.readFileSync(path.join(cgroup.directory, 'cgroup.procs'), 'utf8') === '');
      cgroup.remove();
      fs.rmSync(path.dirname(cgroup.node), { recursive: true });
    }
  });

  it('is the exception that was not caught', async () => {
    const facts = await die('/throw', { options: { onUncaughtException: 'exit' } });
    assert.deepEqual([facts.code, facts.reason], [1, 'exit code 1: Error: thrown by a handler']);
    assertCulprit(facts, '/throw');
  });

  it('has no requests with flightRecorder: false', async () => {
    const { requests, row } = await die('/exit?3', { options: { flightRecorder: false } });
    assert.deepEqual([requests, row.requestsUnderWay], [[], 1]);
  });
});
