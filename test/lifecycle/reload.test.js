// reload(): every worker is replaced by one that runs what is on disk now, or else everything stays as it was.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { died, eventually, makeDirectory, ready, reap, request, start } = require('../support');
const { ask } = require('../support/control');
const { Load } = require('../support/load');

const TIMES = ['startMs', 'readyMs', 'goneMs'];

async function startReleases({ noWorkers = 2, ...options } = {}, rest = {}) {
  const program = start('reload', { options: { noWorkers, keepAliveGrace: 50, ...options }, ...rest });
  return ready(program, noWorkers);
}

const call = (program, ...what) => request(program.port, { path: `/do?${encodeURIComponent(JSON.stringify(what))}` });

/** Has the master call reload(argument); resolves with the result, or with what it was rejected with. */
async function reload(program, argument) {
  await call(program, 'reload', argument);
  const { event, args: [result] } = await program.line(({ event }) => event === 'done' || event === 'failed');
  return Object.assign(result, { event });
}

const facts = async (program) => JSON.parse((await request(program.port, { path: '/facts' })).body);
const asserted = ({ event, ...result }) => assert.equal(event, 'done', JSON.stringify(result));
const pidsOf = (program, event) => program.seen(({ event: name, role }) => name === event && role === 'master')
  .map(({ args: [pid] }) => pid);

describe('reload()', () => {
  afterEach(reap);

  for (const strategy of ['rolling', 'all-first']) {
    it(`replaces every worker, successors first, and says what it did: ${strategy}`, async () => {
      const program = await startReleases({ noWorkers: 3 });
      const result = await reload(program, { strategy });
      asserted(result);
      assert.deepEqual(result.workers.map(({ oldPid }) => oldPid).sort(), [...program.workers].sort());
      assert.deepEqual(result.workers.map(({ newPid }) => newPid), pidsOf(program, 'forked').slice(3));
      assert.deepEqual(result.workers.map(({ slot }) => slot), [0, 1, 2]);
      for (const worker of result.workers) {
        const times = TIMES.map((name) => worker[name]);
        assert.deepEqual(times, [...times].sort((a, b) => a - b));
        assert.ok(worker.goneMs <= result.ms);
      }
      const starts = result.workers.map(({ startMs }) => startMs);
      const readies = result.workers.map(({ readyMs }) => readyMs);
      if (strategy === 'rolling') for (const at of [1, 2]) assert.ok(starts[at] >= readies[at - 1]);
      else assert.ok(Math.max(...starts) < Math.min(...readies));
      for (const pid of program.workers) assert.match((await died(program, pid)).reason, /reload/);
      assert.equal(program.seen('died').length, 3);
    });
  }

  it('is joined by a second call, by SIGUSR2 and by the control socket while it runs', async () => {
    const program = await startReleases();
    await Promise.all([call(program, 'reload'), call(program, 'reload')]);
    await program.line('forked', 3);
    program.kill('SIGUSR2');
    const { ok, ...answer } = await ask(program, 'reload');
    assert.ok(ok);
    const results = await program.lines('done', 2);
    for (const { args: [result] } of results) assert.deepEqual(result, answer);
    assert.equal(program.seen('forked').length, 4);
  });

  for (const [what, flags, file] of [
    ['a heap snapshot', ['--heapsnapshot-signal=SIGUSR2'], /^Heap\..*\.heapsnapshot$/],
    ['a report', ['--report-on-signal', '--report-signal=SIGUSR2'], /^report\..*\.json$/],
  ]) {
    it(`does not come with SIGUSR2 where Node makes ${what} of it`, async () => {
      const program = await startReleases({ noWorkers: 1 }, { execArgv: flags });
      program.kill('SIGUSR2');
      await eventually(() => program.files('.').some((name) => file.test(name)));
      // What the master did about the one signal, it has begun when it hears the next.
      program.kill('SIGTTIN');
      await program.lines(({ event, role }) => event === 'listening' && role === 'master', 2);
      assert.equal(pidsOf(program, 'forked').length, 2);
      assert.deepEqual(pidsOf(program, 'died'), []);
    });
  }

  it('comes with SIGUSR2', async () => {
    const program = await startReleases({ noWorkers: 1 });
    program.kill('SIGUSR2');
    assert.match((await died(program, program.workers[0])).reason, /reload/);
  });

  it('takes the environment as it is by then, and sets variables for all later workers', async () => {
    const program = await startReleases({ noWorkers: 1 });
    await request(program.port, { path: '/set?RELEASE=two' });
    asserted(await reload(program, { env: { EXTRA: 1 } }));
    assert.equal((await request(program.port)).body, 'two');
    assert.equal((await facts(program)).extra, '1');
    await request(program.port, { path: '/exit?1' }).catch(() => {});
    await program.lines('listening', 3);
    assert.equal((await facts(program)).extra, '1');
    asserted(await reload(program));
    assert.equal((await facts(program)).extra, '1');
    asserted(await reload(program, { env: { EXTRA: null } }));
    assert.equal((await facts(program)).extra, null);
  });

  it('refuses arguments that it does not know', async () => {
    const program = await startReleases({ noWorkers: 1 });
    for (const wrong of [{ strategy: 'blue' }, { env: 5 }, { envs: {} }, 'all']) {
      assert.equal((await reload(program, wrong)).code, 'ERR_CLUSTER2_INVALID_OPTION');
    }
    assert.equal((await ask(program, 'reload', { strategy: 7 })).code, 'ERR_CLUSTER2_INVALID_OPTION');
  });

  it('is refused before listen, in a worker, and once the cluster shuts down', async () => {
    const program = await startReleases({ noWorkers: 1 });
    const { args: [early] } = await program.line(({ event, role }) => event === 'too early' && role === 'master');
    assert.equal(early, 'ERR_CLUSTER2_NOT_RUNNING');
    const { body } = await request(program.port, { path: '/here?reload' });
    assert.equal(JSON.parse(body).code, 'ERR_CLUSTER2_NOT_RUNNING');
    await Promise.all([call(program, 'reload'), call(program, 'shutdown')]);
    const { args: [{ code }] } = await program.line('failed');
    assert.equal(code, 'ERR_CLUSTER2_NOT_RUNNING');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('goes on while the event loop of the master is blocked, and says that nothing was looked up', async () => {
    const program = start('api-cluster', { options: { noWorkers: 2, keepAliveGrace: 50 } });
    await ready(program, 2);
    await request(program.port, { path: '/call?block' });
    await program.line('blocked');
    const { ok, workers, staleSettings } = await ask(program, 'reload');
    assert.ok(ok);
    assert.equal(workers.length, 2);
    assert.equal(staleSettings, true);
    const { args: [{ message }] } = await program.line('warning');
    assert.match(message, /event loop was blocked for 500 ms: the reload starts the script of before/);
    assert.equal('staleSettings' in await ask(program, 'reload'), false);
  });

  it('loses no request', async () => {
    const program = start('torture', { options: { noWorkers: 2, keepAliveGrace: 300, recycleTimeout: 5000 } });
    await ready(program, 2 * 3);
    const load = new Load(program, ['short', 'thinking', 'pipelined', 'upload']);
    await load.flows();
    for (const strategy of ['rolling', 'all-first']) assert.ok((await ask(program, 'reload', { strategy })).ok);
    await load.flows();
    await load.stop();
    assert.deepEqual(load.losses, []);
  });
});

describe('the directory of the workers', () => {
  const directories = [];
  afterEach(reap);
  after(() => {
    for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
  });

  // Two releases, and a link to the first.
  function makeReleases() {
    const home = makeDirectory();
    directories.push(home);
    for (const name of ['one', 'two']) {
      fs.mkdirSync(path.join(home, name));
      fs.writeFileSync(path.join(home, name, 'release'), name);
      const script = `require(${JSON.stringify(path.join(__dirname, '../apps', 'reload.js'))});\n`;
      fs.writeFileSync(path.join(home, name, 'app.js'), script);
    }
    const link = path.join(home, 'current');
    fs.symlinkSync('one', link);
    return { home, link };
  }

  function switchLink(link) {
    fs.symlinkSync('two', `${link}.new`);
    fs.renameSync(`${link}.new`, link);
  }

  async function assertFollows(program, { home, link }) {
    assert.equal((await request(program.port)).body, 'one');
    switchLink(link);
    await request(program.port, { path: '/exit?1' }).catch(() => {});
    await program.lines('listening', 2);
    assert.equal((await request(program.port)).body, 'one', 'until the reload everything stays as it was');
    asserted(await reload(program));
    assert.equal((await request(program.port)).body, 'two');
    const { cwd, script } = await facts(program);
    assert.deepEqual([cwd, script], [path.join(home, 'two'), path.join(home, 'two', 'app.js')]);
  }

  it('follows a link by which the shell knew it', async () => {
    const releases = makeReleases();
    const program = start(path.join(releases.link, 'app.js'),
      { cwd: releases.link, env: { PWD: releases.link }, options: { noWorkers: 1, keepAliveGrace: 50 } });
    await ready(program, 1);
    await assertFollows(program, releases);
  });

  it('follows a link that is given as cwd', async () => {
    const releases = makeReleases();
    const program = start(path.join(releases.link, 'app.js'),
      { options: { noWorkers: 1, keepAliveGrace: 50, cwd: releases.link } });
    await ready(program, 1);
    await assertFollows(program, releases);
  });

  it('that has gone makes a reload fail, and nothing else', async () => {
    const releases = makeReleases();
    const program = start(path.join(releases.link, 'app.js'),
      { options: { noWorkers: 1, keepAliveGrace: 50, cwd: releases.link } });
    await ready(program, 1);
    fs.unlinkSync(releases.link);
    assert.equal((await reload(program)).code, 'ERR_CLUSTER2_RELOAD_FAILED');
    const { code, message } = await ask(program, 'reload');
    assert.equal(code, 'ERR_CLUSTER2_RELOAD_FAILED');
    assert.match(message, /ENOENT/);
    assert.deepEqual(pidsOf(program, 'died'), []);
  });
});

describe('a reload that fails', () => {
  afterEach(reap);

  it('leaves no worker of its release in service, whoever dies meanwhile', async () => {
    const program = await startReleases({ noWorkers: 4, restart: 'always' });
    const failed = reload(program, { env: { RELEASE: 'exits late in slot 0' } });
    await program.lines('forked', 5);
    const [, inExchange,, inItsTurn] = pidsOf(program, 'forked');
    process.kill(inItsTurn, 'SIGKILL');
    // After the successor of slot 0 and whoever fills slot 3, the successor of slot 1.
    await program.lines('forked', 7);
    process.kill(inExchange, 'SIGKILL');
    assert.equal((await failed).code, 'ERR_CLUSTER2_RELOAD_FAILED');
    const releases = new Map();
    await eventually(async () => {
      const { pid, release } = await facts(program);
      releases.set(pid, release);
      const workers = program.processes().filter((one) => one !== program.pid);
      return workers.length === 4 && workers.every((one) => releases.get(one) === 'none');
    });
  });
});

describe('a release that', () => {
  afterEach(reap);

  const cases = {
    'throws': { exitCode: 1, reason: /exit code 1.*this release throws/ },
    'exits': { exitCode: 0, reason: /exit code 0/ },
    'never listens': { signal: 'SIGKILL', reason: /did not listen within 800 ms/ },
    'exits late': { exitCode: 7, reason: /exit code 7/ },
    'throws late': { reason: /this release throws late/ },
  };
  for (const [release, { exitCode = null, signal = null, reason }] of Object.entries(cases)) {
    it(`${release} is not taken: the old workers serve on, and the reason is told`, async () => {
      const startTimeout = release === 'never listens' ? 800 : 10000;
      const program = await startReleases({ startTimeout, restart: 'always' });
      const failure = await reload(program, { env: { RELEASE: release, EXTRA: 'bad' } });
      assert.equal(failure.code, 'ERR_CLUSTER2_RELOAD_FAILED');
      assert.match(failure.reason, reason);
      assert.match(failure.message, reason);
      assert.deepEqual([failure.exitCode, failure.signal], [exitCode, signal]);
      const warning = program.seen(({ event, args }) => event === 'warning' && args[0].code === failure.code);
      assert.match(warning[0].args[0].message, reason);
      // Successors that were ready go too.
      await eventually(() => program.processes().length === 3);
      for (const pid of program.workers) assert.ok(program.processes().includes(pid));
      assert.equal((await request(program.port)).body, 'none');
      const forked = program.seen('forked').length;
      await request(program.port, { path: '/exit?1' }).catch(() => {});
      await eventually(() => program.seen('forked').length === forked + 1);
      await eventually(async () => (await facts(program)).pid === pidsOf(program, 'forked').at(-1));
      assert.equal((await facts(program)).extra, null, 'a worker that is forked later is of the old release');
    });
  }
});
