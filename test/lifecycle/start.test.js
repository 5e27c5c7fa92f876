// What a cluster2 script sees while its cluster starts: the order of things, events, callbacks, addresses.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const {
  connect, eventually, freePort, masterEvents, ready, reap, request, start, startCluster,
} = require('../support');

describe('starting a cluster', () => {
  let program;
  before(async () => {
    program = await startCluster({ noWorkers: 2 });
  });
  after(reap);

  it('runs createApp in the master, then forks all workers, then calls back once, then listens', () => {
    const events = masterEvents(program, 'createApp', 'forked', 'callback', 'listening');
    assert.deepEqual(events, ['createApp', 'forked', 'forked', 'callback', 'listening', 'listening']);
  });

  it('names each worker in forked and listening by its pid', () => {
    const pids = (event) => program.seen(event).map(({ args }) => args);
    assert.deepEqual(pids('forked').flat().sort(), [...program.workers].sort());
    assert.ok(pids('listening').every((args) => args.length === 1));
    const reporters = program.seen(({ role }) => role === 'worker').map(({ pid }) => pid);
    assert.deepEqual([...new Set(reporters)].sort(), [...program.workers].sort());
  });

  it('runs createApp and, with one port, the callback once in each worker', async () => {
    await program.lines(({ event, role }) => event === 'callback' && role === 'worker', 2);
    for (const pid of program.workers) {
      const events = program.seen((line) => line.pid === pid).map(({ event }) => event);
      assert.deepEqual(events.filter((event) => ['createApp', 'callback'].includes(event)), ['createApp', 'callback']);
    }
  });

  it('serves from every worker', async () => {
    const answerers = new Set();
    await eventually(async () => {
      answerers.add(Number((await request(program.port, { path: '/pid' })).body));
      return answerers.size === 2;
    });
    assert.deepEqual([...answerers].sort(), [...program.workers].sort());
  });

  it('tells in addresses() which port 0 became', () => {
    const { app, monitor } = program.addresses;
    assert.equal(app.length, 1);
    assert.equal(app[0].kind, 'tcp4');
    assert.equal(app[0].address, '127.0.0.1');
    assert.ok(app[0].port > 0);
    assert.equal(monitor, null);
  });
});

describe('what a script can read', () => {
  afterEach(reap);

  it('has a version, default options, process.cluster in the master, and listen that returns the cluster', async () => {
    const program = start('api-facts', { options: { noWorkers: 1 } });
    const { args: [{ version, defaultOptions }] } = await program.line('class');
    assert.match(version, /^\d+\.\d+\.\d+/);
    const { port, monPort, monPath, ecv, timeout, connThreshold } = defaultOptions;
    assert.deepEqual({ port, monPort, monPath, timeout, connThreshold },
      { port: 3000, monPort: 3001, monPath: '/', timeout: 30000, connThreshold: 10000 });
    assert.equal(ecv.path, '/ecv');

    const { args: [options] } = await program.line('options');
    assert.equal(options.port, 3000);
    assert.equal(options.ecv.control, true);

    const isBy = (role) => (line) => line.event === 'listen' && line.role === role;
    assert.deepEqual((await program.line(isBy('master'))).args, [{ returnsCluster: true, hasProcessCluster: false }]);
    assert.deepEqual((await program.line(isBy('worker'))).args, [{ returnsCluster: true, hasProcessCluster: false }]);

    const { args: [seen] } = await program.line('process.cluster');
    assert.equal(seen.clustered, true);
    assert.equal(seen.isEmitter, true);
    assert.deepEqual(seen.pids, [seen.pid]);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('changes nothing when c.options is changed after the options were checked', async () => {
    const program = start('api-facts', { options: { noWorkers: 1 } });
    await program.exit();
    assert.equal(program.seen('forked').length, 1);
  });
});

describe('apps and ports', () => {
  afterEach(reap);

  it('serves a list of apps, drops entries without app or port, and calls back once per port', async () => {
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const program = start('api-shapes', { args: ['list', ...ports], options: { noWorkers: 1 } });
    await program.lines('listening', 2);
    const bodies = await Promise.all(ports.map(async (port) => (await request(port)).body));
    assert.deepEqual(bodies, ['one', 'two', 'two']);
    await program.lines(({ event, role }) => event === 'callback' && role === 'worker', 3);
    const callbacks = program.seen('callback');
    assert.equal(callbacks.filter(({ role }) => role === 'master').length, 1);
    for (const { args } of callbacks) assert.deepEqual(args[0], [ports[0], [ports[1], ports[2]]]);
    assert.equal(program.seen('listening').length, 2);
  });

  it('serves one server on several ports', async () => {
    const ports = await Promise.all([freePort(), freePort()]);
    const program = await startCluster({ port: ports, noWorkers: 1 });
    assert.deepEqual(program.addresses.app.map(({ port }) => port), ports);
    for (const port of ports) assert.equal((await request(port)).body, 'hello');
    await program.lines(({ event, role }) => event === 'callback' && role === 'worker', 2);
    assert.equal(program.seen('listening').length, 1);
  });

  it('gives a list of zeros as many different ports', async () => {
    const program = await startCluster({ port: [0, 0], noWorkers: 2 });
    const [one, two] = program.addresses.app.map(({ port }) => port);
    assert.notEqual(one, two);
    assert.equal((await request(one)).body, 'hello');
    assert.equal((await request(two)).body, 'hello');
  });

  it('listens on a unix path and takes it away at the end', async () => {
    const program = start('api-cluster', { options: { port: './app.sock', noWorkers: 2 } });
    await ready(program);
    const socket = path.join(program.cwd, 'app.sock');
    assert.equal((await request(socket)).body, 'hello');
    program.kill('SIGTERM');
    await program.exit();
    assert.ok(!fs.existsSync(socket));
  });

  it('takes numbers as strings', async () => {
    const port = await freePort();
    const program = await startCluster({ port: String(port), noWorkers: '1', timeout: '5000' });
    assert.equal(program.port, port);
    assert.equal((await request(port)).body, 'hello');
    assert.equal(program.workers.length, 1);
  });

  it('takes the ports of a list of apps as strings, and checks them like the option', async () => {
    const ports = [await freePort(), await freePort(), await freePort()].map(String);
    const program = start('api-shapes', { args: ['list', ...ports], env: { TEXT: '1' }, options: { noWorkers: 1 } });
    await program.lines('listening', 2);
    assert.equal((await request(Number(ports[2]))).body, 'two');

    const refused = start('api-shapes', { args: ['list', '1', '2', '70000'], options: { noWorkers: 1 } });
    assert.equal((await refused.exit()).code, 1);
    assert.match(refused.stderr, /ERR_CLUSTER2_INVALID_OPTION/);
    assert.match(refused.stderr, /port.*70000/);
    assert.equal(refused.seen('forked').length, 0);
  });

  it('passes the application for the monitor on to the callback', async () => {
    const program = start('api-shapes', { args: ['monitor'], options: { noWorkers: 1 } });
    const callbacks = await program.lines('callback', 2);
    assert.deepEqual(callbacks.map(({ args }) => args[1]), ['object', 'object']);
  });

  for (const shape of ['later', 'async']) {
    it(`waits for a createApp that calls back ${shape === 'later' ? 'later' : 'from an async function'}`, async () => {
      const program = await ready(start('api-shapes', { args: [shape], options: { noWorkers: 1 } }), 1);
      assert.equal((await request(program.port)).body, shape);
    });
  }

  it('keeps a connection and the port where they are, whoever connects first', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const connection = await connect(program.port);
    await connection.get('/').until(/hello$/);
    await connection.get('/').until(/hello.*hello$/s);
    connection.close();
  });
});

describe('a createApp that fails', () => {
  afterEach(reap);

  for (const shape of ['throws', 'rejects']) {
    it(`that ${shape} ends the master with status 1 and its stack, before anything is forked`, async () => {
      const program = start('api-shapes', { args: [shape] });
      assert.deepEqual(await program.exit(), { code: 1, signal: null });
      assert.match(program.stderr, /Error: createApp failed\n\s+at /);
      assert.equal(program.seen('forked').length, 0);
      assert.deepEqual(program.files('pids'), []);
    });
  }

  it('by handing over what cannot listen is refused with a code', async () => {
    const program = start('api-shapes', { args: ['invalid'], options: { noWorkers: 1 } });
    await eventually(() => program.stderr.includes('ERR_CLUSTER2_INVALID_APP'));
  });

  it('by handing over an app that listens already is refused with a code', async () => {
    const program = start('api-shapes', { args: ['listening'] });
    assert.equal((await program.exit()).code, 1);
    assert.match(program.stderr, /ERR_CLUSTER2_APP_LISTENING/);
    assert.equal(program.seen('forked').length, 0);
  });
});

describe('a start that is refused', () => {
  afterEach(reap);

  it('says that the supervisor gets no thread', async function withoutThreads() {
    if (process.getuid() !== 0 || spawnSync('prlimit').status !== 0) this.skip();
    // A user that has no other process.
    const program = start('no-threads', { uid: 61_187 });
    assert.deepEqual((await program.line('limited')).args, [0]);
    assert.deepEqual((await program.line('failed')).args, ['ERR_CLUSTER2_THREAD', true]);
    assert.deepEqual([await program.exit(), program.stderr], [{ code: 3, signal: null }, '']);
  });

  it('says that a thread of a program has no workers', async () => {
    const program = start('in-thread');
    assert.deepEqual((await program.line('refused')).args, ['ERR_CLUSTER2_NOT_MAIN_THREAD']);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const port = await freePort();
    await start('in-thread', { options: { cluster: false, port } }).line('serves');
    assert.equal((await request(port)).body, 'hello');
  });
});
