// The commands that a person needs beside a cluster that runs: `logs`, `recycle`, `reload --cancel` and `--restart`.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { eventually, ready, reap, request, start, startCluster, underWay } = require('../support');
const { command } = require('../support/command');
const { ask } = require('../support/control');
const { BIN, directoryOf, removeDirectories, servingScript } = require('../support/script');

const TALKER = `
  console.log('one'); console.error('two'); console.log('three');
  require('node:http').createServer((request, response) => {
    console.log('asked for ' + request.url);
    response.end();
  }).listen(0);`;
const TO_LOG = ['--workers', '1', '--log', 'app.log', 'app.js'];

describe('the log of a cluster', () => {
  afterEach(reap);
  after(removeDirectories);

  it('is written by the workers themselves, and read by cluster2 logs and by the monitor', async () => {
    const program = await servingScript({ 'app.js': TALKER }, ['--monitor', '127.0.0.1:23013', ...TO_LOG]);
    assert.equal(fs.readFileSync(path.join(program.cwd, 'app.log'), 'utf8'), 'one\ntwo\nthree\n');
    assert.doesNotMatch(program.stdout + program.stderr, /^(one|two|three)$/m);
    assert.deepEqual(await command(program.cwd, ['logs', '--lines', '2']),
      { code: 0, stdout: 'two\nthree\n', stderr: '' });
    assert.equal((await command(program.cwd, ['logs'])).stdout, 'one\ntwo\nthree\n');
    const list = await request(23013, { path: '/logs', headers: { accept: 'application/json' } });
    assert.deepEqual(JSON.parse(list.body).logs.map(({ name }) => name), ['app.log']);
    assert.equal((await request(23013, { path: '/logs/app.log?tail=1' })).body, 'three\n');
    assert.equal((await request(23013, { path: '/logs/app.js' })).status, 404);
  });

  it('is followed by logs -f, also when it is rotated by copytruncate or by a new file', async () => {
    const program = await servingScript({ 'app.js': TALKER }, TO_LOG);
    const file = path.join(program.cwd, 'app.log');
    const reader = start(BIN, { cwd: program.cwd, args: ['logs', '-f', '--lines', '1'] });
    await reader.line(/^three$/);
    await request(program.port, { path: '/first' });
    await reader.line(/^asked for \/first$/);
    fs.copyFileSync(file, `${file}.1`);
    fs.truncateSync(file);
    await request(program.port, { path: '/second' });
    await reader.line(/^asked for \/second$/);
    // What is written after the truncation begins at the start: the file is opened for appending.
    assert.equal(fs.readFileSync(file, 'utf8'), 'asked for /second\n');
    fs.renameSync(file, `${file}.2`);
    assert.equal((await command(program.cwd, ['reload', '--wait'])).code, 0);
    await reader.line(/^three$/);
    await request(program.port, { path: '/third' });
    await reader.line(/^asked for \/third$/);
  });

  it('that has become a pipe which nobody reads holds up neither status nor the replacement of workers', async () => {
    const program = await servingScript({ 'app.js': TALKER }, TO_LOG);
    const file = path.join(program.cwd, 'app.log');
    const workers = async () => JSON.parse((await command(program.cwd, ['status', '--json'])).stdout)[0].workers;
    const [{ pid: victim }] = await workers();
    fs.unlinkSync(file);
    execFileSync('mkfifo', [file]);
    process.kill(victim, 'SIGKILL');
    await eventually(async () => (await workers()).some(({ pid, state }) => pid !== victim && state === 'serving'));
    assert.match(program.stderr + program.stdout, /cannot append to the log .*: it is a pipe that nobody reads/);
    // The successor has the master's stdout.
    await program.line(/^three$/);
  });

  it('that is such a pipe from the start is refused at once', async () => {
    const cwd = directoryOf({ 'app.js': TALKER });
    execFileSync('mkfifo', [path.join(cwd, 'app.log')]);
    const { code, stderr } = await command(cwd, ['start', '--monitor', 'off', ...TO_LOG]);
    assert.equal(code, 1);
    assert.match(stderr, /cannot append to the log .*app\.log: it is a pipe that nobody reads/);
  });

  it('is missed with advice where workers write to no file', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const { code, stderr } = await command(program.cwd, ['logs']);
    assert.equal(code, 1);
    assert.match(stderr, /the workers of master \d+ write to no file.*: start it with --log FILE/);
    // Of the pipe that this test reads Linux alone tells; where a service runs the test, it looks like the journal's.
    if (process.platform === 'linux') assert.match(stderr, / but to (a pipe, whose other end has them|the journal .*):/);
  });

  if (process.platform === 'linux') {
    it('is the file to which stdout was sent, where no other was given', async () => {
      const args = ['start', '--quiet', '--monitor', 'off', '--workers', '1', 'app.js'];
      const cwd = directoryOf({
        'app.js': TALKER,
        'redirect.js': `
          const out = require('node:fs').openSync('out.txt', 'a');
          const args = ${JSON.stringify([BIN, ...args])};
          require('node:child_process').spawn(process.execPath, args, { stdio: ['ignore', out, out] });`,
      });
      start(path.join(cwd, 'redirect.js'), { cwd });
      const out = path.join(cwd, 'out.txt');
      await eventually(() => fs.existsSync(out) && fs.readFileSync(out, 'utf8').includes('three'));
      assert.deepEqual(await command(cwd, ['logs', '--lines', '2']), { code: 0, stdout: 'two\nthree\n', stderr: '' });
      assert.equal((await command(cwd, ['shutdown', '--wait'])).code, 0);
    });
  }
});

describe('cluster2 recycle', () => {
  afterEach(reap);

  it('replaces one worker, its successor first', async () => {
    const program = await startCluster({ noWorkers: 2 });
    const [worker, other] = program.workers;
    const { stdout } = await command(program.cwd, ['recycle', String(worker)]);
    assert.equal(stdout, `master ${program.pid}: worker ${worker} goes when its successor serves\n`);
    const { args: [, { reason }] } = await program.line(({ event, args }) => event === 'died' && args[0] === worker);
    assert.match(reason, /recycle/);
    const [{ workers }] = JSON.parse((await command(program.cwd, ['status', '--json'])).stdout);
    assert.ok(workers.some(({ pid }) => pid === other) && workers.length === 2);
  });

  it('refuses a worker that is on its way out', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const [worker] = program.workers;
    await underWay(program, worker, '/never');
    assert.equal((await command(program.cwd, ['recycle', String(worker)])).code, 0);
    await program.line(({ event, pid }) => event === 'draining' && pid === worker);
    assert.equal((await ask(program, 'recycle', { pid: worker })).code, 'ERR_CLUSTER2_WORKER_GONE');
    assert.equal((await command(program.cwd, ['recycle', String(worker)])).code, 1);
  });

  it('says which workers there are where it finds none with that pid', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const { code, stderr } = await command(program.cwd, ['recycle', '1']);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`has a worker 1; there is ${program.workers[0]}`));
    assert.equal((await command(program.cwd, ['recycle', 'all'])).code, 2);
  });
});

describe('a reload that is under way', () => {
  let program;
  afterEach(reap);
  beforeEach(async () => {
    program = await ready(start('reload', { options: { noWorkers: 1 } }), 1);
    fs.writeFileSync(path.join(program.cwd, 'release'), 'never listens');
    assert.equal((await command(program.cwd, ['reload'])).code, 0);
  });
  const release = (name) => fs.writeFileSync(path.join(program.cwd, 'release'), name);

  it('is joined by another, which says when it began and how to change that', async () => {
    const second = start(BIN, { cwd: program.cwd, args: ['reload', '--wait'] });
    await second.line(/: joined the reload that began at \d\d:\d\d:\d\d; `reload --restart` .* `reload --cancel` /);
    assert.ok(second.isRunning);
    const { stdout, code } = await command(program.cwd, ['reload', '--cancel']);
    assert.deepEqual([stdout, code], [`master ${program.pid}: the reload is cancelled\n`, 0]);
    assert.deepEqual(await second.exit(), { code: 1, signal: null });
    assert.match(second.stderr, /the reload was cancelled: by another process; the old workers serve on/);
    assert.equal((await request(program.port)).status, 200);
    assert.match((await command(program.cwd, ['reload', '--cancel'])).stderr, /no reload can be cancelled: none is under/);
  });

  it('gives way to a new release by --restart', async () => {
    release('good');
    const { code, stdout, stderr } = await command(program.cwd, ['reload', '--restart', '--wait']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /: reloaded 1 worker in /);
    await eventually(async () => (await request(program.port)).body === 'good');
  });

  it('is no restart of a worker', async () => {
    release('good');
    await command(program.cwd, ['reload', '--restart', '--wait']);
    const [{ restarts, workers }] = JSON.parse((await command(program.cwd, ['status', '--json'])).stdout);
    assert.deepEqual([restarts, ...workers.map((worker) => worker.restarts)], [0, 0]);
  });
});
