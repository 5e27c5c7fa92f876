// Moving to this package: docs/MIGRATING.md, whose rows name the tests that make them true, and the tests of those rows
// that no other file is about.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { allTests } = require('../../scripts/mocha');
const { died, makeDirectory, ready, reap, request, start, startCluster } = require('../support');
const { packed, whyNotPacked } = require('../support/packed');
const { describeReadme } = require('../support/readme');

const ROOT = path.join(__dirname, '../..');

describe('installed as cluster2,', function () {
  this.timeout(180_000);
  let modules;
  before(async function () {
    if (whyNotPacked() !== undefined) this.skip();
    modules = path.join((await packed()).project, 'node_modules');
  });

  describeReadme("the README's script", 'cluster2', (cwd) => fs.symlinkSync(modules, path.join(cwd, 'node_modules')));
});

describe('an old environment', () => {
  afterEach(reap);

  it('prints nothing for cluster2=1, and events on stderr for NODE_DEBUG=cluster2', async () => {
    const program = await startCluster({ noWorkers: 1 }, { env: { cluster2: '1' } });
    program.kill();
    assert.equal((await program.exit()).code, 0);
    assert.equal(program.stderr, '');
    assert.deepEqual(program.seen(({ event }) => event === undefined), []);
    const talkative = await startCluster({ noWorkers: 1 }, { env: { NODE_DEBUG: 'cluster2' } });
    assert.match(talkative.stderr, /^CLUSTER2 \d+: forked worker=1 /m);
  });
});

describe('old events of 0.3', () => {
  afterEach(reap);

  it('come once: listening per app, whatever its ports', async () => {
    const program = await ready(start('api-cluster', { options: { port: [0, 0], noWorkers: 1 } }), 1);
    assert.equal(program.addresses.app.length, 2);
    program.kill();
    await program.exit();
    assert.equal(program.seen('listening').length, 1);
  });

  it('come as in 0.4: a recycle emits SIGINT in the worker, which exits with 0', async () => {
    const program = await startCluster({ noWorkers: 1, keepAliveGrace: 50 });
    const [worker] = program.workers;
    await request(program.port, { path: '/suicide' });
    assert.deepEqual((await program.line('SIGINT')).args, [{ pid: worker, type: 'worker' }]);
    assert.equal((await died(program, worker)).code, 0);
    assert.equal(program.seen('SIGTERM').length, 0);
  });
});

describe('an app written for PM2', () => {
  const home = makeDirectory();
  afterEach(reap);
  after(() => fs.rmSync(home, { recursive: true, force: true }));

  // As PM2's own documents have it, within createApp.
  const script = path.join(home, 'app.js');
  fs.writeFileSync(script, `
    const cluster = require('node:cluster');
    const http = require('node:http');
    const Cluster = require(process.env.CLUSTER2_PACKAGE);
    const c = new Cluster({ port: 0, monPort: 0, host: '127.0.0.1', noWorkers: 2, keepAliveGrace: 50 });
    const say = (event, ...args) => console.log(JSON.stringify({ event, args, pid: process.pid }));
    c.on('listening', (pid) => say('listening', pid));
    c.on('listening', () => say('addresses', c.addresses()));
    c.on('died', (pid, how) => say('died', pid, how));
    c.listen(async (callback) => {
      const server = http.createServer((request, response) => response.end(JSON.stringify({
        instance: process.env.NODE_APP_INSTANCE ?? null, id: cluster.worker.id,
      })));
      if (cluster.isWorker) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        process.send('ready');
        process.on('SIGINT', () => {
          say('own handler');
          server.close(() => process.exit(0));
        });
      }
      callback(server);
    });
  `);

  it('may say ready, and is ready when it listens', async () => {
    const program = await ready(start(script));
    assert.equal((await request(program.port)).status, 200);
    program.kill();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.stderr, '');
  });

  it('finds no NODE_APP_INSTANCE, and numbers of its own', async () => {
    const program = await ready(start(script));
    const { instance, id } = JSON.parse((await request(program.port)).body);
    assert.equal(instance, null);
    assert.ok([1, 2].includes(id));
  });

  it('that ends itself on SIGINT is ended as before', async () => {
    const program = await ready(start(script));
    program.killGroup('SIGINT');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.seen('own handler').length, 2);
    for (const pid of program.workers) assert.equal((await died(program, pid)).code, 0);
    assert.equal(program.stderr, '');
  });
});

describe('docs/MIGRATING.md', () => {
  const text = fs.readFileSync(path.join(ROOT, 'docs/MIGRATING.md'), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('|') && !/^\|(---|.*\| tests \|$)/.test(line));
  // In code between double backticks there may be single ones.
  const namedIn = (row) => [...row.split(' | ').at(-1).matchAll(/``(.+?)``|`([^`]+)`/g)].map(([, two, one]) => two ?? one);

  it('names in each row the tests that make it true, and they exist', function () {
    this.timeout(60_000);
    const titles = allTitles();
    // A group stands for all tests in it.
    const begins = (title, name) => title.startsWith(name) && !/\w/.test(title[name.length] ?? '');
    const isThere = (name) => titles.some((title) => begins(title, name));
    assert.ok(rows.length > 50);
    for (const row of rows) assert.ok(namedIn(row).length > 0, row);
    assert.deepEqual(rows.flatMap(namedIn).filter((name) => !isThere(name)), []);
  });

  /** `file: describe and title` of every test; mocha says them without running one. */
  function allTitles() {
    const mocha = path.join(ROOT, 'node_modules/mocha/bin/mocha.js');
    const args = [mocha, '--dry-run', '--reporter', 'json', ...allTests()];
    const { stdout } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: Infinity });
    const { tests } = JSON.parse(stdout.slice(stdout.indexOf('{')));
    const nameOf = (file) => path.relative(path.join(ROOT, 'test'), file).replace(/\.test\.js$/, '');
    return tests.map(({ file, fullTitle }) => `${nameOf(file)}: ${fullTitle}`);
  }
});
