// How cluster2 0.4 did it, where the files on heartbeats, delegation, componentStatus and old masters do not say it.
// Beside it, scripts in the forms of cluster2's own time.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');

const { connect, died, eventually, freePort, ready, reap, request, start } = require('../support');

const INTERVAL = 400;
const beatOf = (role) => ({ event, role: of }) => event === 'heartbeat' && of === role;

describe('cluster2 0.4', function () {
  this.timeout(40000);
  let program;

  before(async () => {
    const options = { noWorkers: 1, heartbeatInterval: INTERVAL, timeout: 100 };
    program = await ready(start('compat', { options }), 1);
    // Tested last, since it takes cluster2's 10 s.
    await request(program.port, { path: '/ask' });
  });
  after(reap);

  it('counts idle connections that were cut, in the heartbeats of worker and master', async () => {
    const idle = await connect(program.port);
    await idle.until(/$/);
    await program.line((line) => beatOf('worker')(line) && line.args[0].timedoutConnections === 1);
    await program.line((line) => beatOf('master')(line) && line.args[0].timedoutConnections === 1);
  });

  it('has the uptime of its process in the heartbeat of a worker, and average and interval in the sum', async () => {
    const before = Number((await request(program.port, { path: '/uptime' })).body);
    const begun = Date.now();
    const { at, args: [beat] } = await program.line((line) => beatOf('worker')(line) && line.at >= begun);
    assert.ok(Math.abs(beat.uptime - before - (at - begun) / 1000) < 0.5, `${before} s, then ${beat.uptime} s`);
    const { args: [all] } = await program.line((line) => beatOf('master')(line) && line.at >= begun);
    assert.ok(Math.abs(all.uptime - beat.uptime) < 2, `${beat.uptime} s, and ${all.uptime} s for all`);
    assert.ok(all.interval >= INTERVAL * 0.9, `${all.interval} ms`);
    assert.equal(all.threads, 1);
  });

  it('has `process.cluster` in the master only, and `process.heartbeat` in workers only', async () => {
    const [{ args: [ofMaster] }] = await program.lines(({ event, role }) => event === 'begun' && role === 'master', 1);
    const [{ args: [ofWorker] }] = await program.lines(({ event, role }) => event === 'begun' && role === 'worker', 1);
    assert.deepEqual([ofMaster.cluster, ofMaster.heartbeat], ['object', undefined]);
    assert.equal(ofWorker.cluster, 'undefined');
  });

  it('gives the status object itself when a component is registered, in master and workers', async () => {
    const lines = await program.lines('registers itself', 2);
    assert.deepEqual(lines.map(({ args: [isItself] }) => isItself), [true, true]);
  });

  it('waits 10 s for an answer when the question names no time, and answers from before do not count', async () => {
    const asked = await program.line('asked');
    const answer = await program.line(({ event, role }) => event === 'message' && role === 'worker', { within: 15000 });
    assert.ok(answer.at - asked.at > 9900, `${answer.at - asked.at} ms`);
    const { error, ...question } = answer.args[0];
    assert.deepEqual(question, { type: 'answer', delegate: 'nobody-answers', expect: 'answer', id: 7 });
    assert.deepEqual([error.message, error.timeout], ['timeout', 10000]);
  });

  it('has `process.emitter` in a worker that goes, and a ChildProcess of it in the master', async () => {
    const [pid] = program.workers;
    assert.deepEqual((await program.line('child')).args[0], ['function', 'function', true, true]);
    await request(program.port, { path: '/leave' });
    const { args: [seen] } = await program.line('draining');
    assert.deepEqual(seen, { cluster: 'undefined', heartbeat: 'Timeout', isEmitter: true });
    await died(program, pid);
    assert.deepEqual((await program.line('exit')).args, [pid, 0, null, true]);
  });
});

describe('a script of cluster2\'s own time', () => {
  afterEach(reap);

  async function begin(form, options = {}) {
    const monPort = await freePort();
    const given = { noWorkers: 1, monPort, ...options };
    const program = start('old-script', { args: [form], options: given });
    return Object.assign(program, { monPort, monitor: (path) => request(monPort, { path }) });
  }

  for (const [form, body] of [
    ['monitor: server', 'own'], ['monitor: function', 'plain'], ['monitor, and another', 'own'],
  ]) {
    it(`may give its app for the monitor's port as an option: ${form}`, async () => {
      const program = await ready(await begin(form), 1);
      const { status, body: said } = await program.monitor('/own');
      assert.deepEqual([status, said], [200, body]);
      assert.match((await program.monitor('/')).body, /Runtime Monitor/);
      const callbacks = await program.lines('callback', 2);
      const [given] = callbacks.filter(({ role }) => role === 'master').map(({ args }) => args[1]);
      assert.equal(given, form === 'monitor: function' ? 'function' : 'object');
      assert.equal(program.stderr, '');
    });
  }

  it('reads the monitor\'s own address in `master.address` of its JSON', async () => {
    const program = await ready(await begin('0.2', { monHost: '127.0.0.1' }), 1);
    const { master } = JSON.parse((await program.monitor('/status.json')).body);
    assert.deepEqual(master.address, { address: '127.0.0.1', family: 'IPv4', port: program.monPort });
  });

  it('runs in one process with cluster: undefined, and is told so', async () => {
    const port = await freePort();
    const program = await begin('cluster: undefined', { port });
    await eventually(() => request(port).catch(() => undefined));
    const { args: [code, message] } = await program.line('process warning');
    assert.equal(code, 'CLUSTER2_UNDEFINED_OPTION');
    assert.match(message, /`cluster` is undefined/);
    assert.equal(program.seen('forked').length, 0);
  });

  it('may take the methods off its cluster', async () => {
    const program = await begin('methods taken off');
    assert.deepEqual(await program.exit(), { code: 0, signal: null }, program.output());
    assert.deepEqual((await program.line('types')).args, [true]);
    assert.equal(program.stderr, '');
  });

  it('may be run by a program of another language, as coffee does it, and so are its workers', async () => {
    const args = [path.join(__dirname, '../apps/other-language.txt'), 'an argument'];
    const program = await ready(start('language-runner', { args, options: { noWorkers: 1 } }), 1);
    assert.equal((await request(program.port)).body, 'an argument');
    assert.equal(program.stderr, '');
  });

  it('may listen as with 0.2, without a cluster of its own', async () => {
    const program = await ready(await begin('0.2'), 1);
    assert.equal((await request(program.port)).body, 'app');
    await program.lines('callback', 2);
  });
});
