// How workers die, what is said of it, and who is replaced.
'use strict';

const assert = require('node:assert/strict');

const {
  connect, connectTo, died, freePort, refused, masterEvents, ready, reap, request, start, startCluster,
} = require('../support');

describe('a worker that dies', () => {
  afterEach(reap);

  it('by kill -9 is reported with its signal and replaced at once', async () => {
    const program = await startCluster();
    const [victim] = program.workers;
    const killedAt = Date.now();
    process.kill(victim, 'SIGKILL');
    const { code, signal, reason } = await died(program, victim);
    assert.deepEqual({ code, signal }, { code: null, signal: 'SIGKILL' });
    assert.match(reason, /SIGKILL/);
    const [, , forked] = await program.lines('forked', 3);
    assert.ok(forked.at - killedAt < 500, `forked after ${forked.at - killedAt} ms`);
    await program.lines('listening', 3);
    assert.deepEqual(masterEvents(program, 'forked', 'died', 'listening').slice(-3), ['died', 'forked', 'listening']);
    assert.equal((await request(program.port)).body, 'hello');
  });

  it('with a status that is not 0 is reported with the status and replaced', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const [victim] = program.workers;
    const connection = await connect(program.port);
    connection.get('/exit?3');
    const { code, signal, reason } = await died(program, victim);
    assert.deepEqual({ code, signal }, { code: 3, signal: null });
    assert.match(reason, /3/);
    await program.lines('listening', 2);
    assert.equal((await request(program.port)).body, 'hello');
  });

  it('with status 0 is reported and not replaced', async () => {
    const program = await startCluster();
    const [leaver, other] = program.workers;
    (await connectTo(program.port, leaver)).get('/exit?0');
    const { code, signal } = await died(program, leaver);
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    // The other one is: had the first been, there would be two more by then.
    process.kill(other, 'SIGKILL');
    await program.lines('listening', 3);
    assert.equal(program.seen('forked').length, 3);
    assert.equal((await request(program.port)).body, 'hello');
  });

  it('with status 0 is replaced where restart is always', async () => {
    const program = await startCluster({ noWorkers: 1, restart: 'always' });
    const [leaver] = program.workers;
    (await connect(program.port)).get('/exit?0');
    assert.equal((await died(program, leaver)).code, 0);
    const [, { args: [pid] }] = await program.lines('listening', 2);
    assert.notEqual(pid, leaver);
    assert.equal((await request(program.port)).body, 'hello');
  });

  it('as the last one, with status 0, closes the port, and the monitor goes on', async () => {
    const monPort = await freePort();
    const program = await startCluster({ noWorkers: 1, monPort });
    (await connect(program.port)).get('/exit?0');
    await died(program, program.workers[0]);
    await refused(program.port);
    assert.equal((await request(monPort, { headers: { accept: 'application/json' } })).status, 200);
    assert.ok(program.isRunning);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('leaves its queue of connections to its successor', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const [victim] = program.workers;
    const holder = await connect(program.port);
    holder.get('/block?');
    await program.line('request');
    const waiting = [1, 2, 3].map(() => request(program.port));
    await Promise.all([connect(program.port)]).then(([connection]) => connection.close());
    process.kill(victim, 'SIGKILL');
    for (const answer of await Promise.all(waiting)) assert.equal(answer.body, 'hello');
    holder.close();
  });
});

describe('workers that die again and again', () => {
  afterEach(reap);

  it('at their start are forked with growing pauses, with a warning, until a shutdown', async () => {
    // Two clusters at a time: two seconds are two seconds.
    await Promise.all([['exitsInWorker', 7], ['throwsInWorker', 1]].map(async ([shape, code]) => {
      const program = start('api-shapes', { args: [shape], env: { REPORT_AFTER: '2000' } });
      await program.line('time');
      const forks = program.seen('forked').length;
      assert.ok(forks > 2 && forks < 20, `${forks} forks in 2 s`);
      for (const { args: [, facts] } of program.seen('died')) assert.equal(facts.code, code);
      const { args: [warning] } = await program.line('warning');
      assert.match(warning.message, /\d/);
      program.kill('SIGTERM');
      assert.deepEqual(await program.exit({ within: 3000 }), { code: 0, signal: null });
      assert.equal(program.seen('died').length, program.seen('forked').length);
      assert.deepEqual(program.files('pids'), []);
    }));
  });

  it('by an exception at start say which one in died', async () => {
    const program = start('api-shapes', { args: ['throwsInWorker'], options: { noWorkers: 1 } });
    const { args: [, { reason }] } = await program.line('died');
    assert.match(reason, /createApp failed/);
    assert.match(program.stderr, /Error: createApp failed/);
  });

  it('never leave a port without an answer once one of them works again', async () => {
    const program = await ready(start('api-cluster', { options: { noWorkers: 1 } }), 1);
    let [pid] = program.workers;
    for (let deaths = 1; deaths <= 3; deaths += 1) {
      process.kill(pid, 'SIGKILL');
      ({ args: [pid] } = (await program.lines('listening', deaths + 1))[deaths]);
    }
    assert.equal((await request(program.port)).body, 'hello');
  });
});
