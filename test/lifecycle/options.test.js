// Bad input and busy ports: what is refused, with which code, and that nothing was started or written then.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');

const { freePort, ready, reap, request, start } = require('../support');

describe('options', () => {
  afterEach(reap);

  async function tryOptions(...cases) {
    const program = start('api-options', { env: { CASES: JSON.stringify(cases) } });
    assert.equal((await program.exit()).code, 0, program.stderr);
    await program.lines(({ event }) => event === 'made' || event === 'refused', cases.length);
    return program;
  }

  it('env and instanceEnv are the environment of workers, whether they run a createApp or a script', async () => {
    const options = { noWorkers: 1, env: { EXTRA: 'given' }, instanceEnv: { RELEASE: 7 } };
    const program = await ready(start('reload', { options, env: { EXTRA: 'of the master' } }), 1);
    const { body } = await request(program.port, { path: '/facts' });
    assert.equal(JSON.parse(body).extra, 'given');
    assert.equal((await request(program.port)).body, '7');
  });

  it('that break their rule are refused with a code, the name, the rule and the value', async () => {
    const cases = [
      [{ noWorkers: 0.5 }, /noWorkers.*whole number.*0\.5/],
      [{ noWorkers: -1 }, /noWorkers.*-1/],
      [{ noWorkers: 'many' }, /noWorkers.*many/],
      [{ port: 65536 }, /port.*65536/],
      [{ port: [3000, 'x y'] }, /port.*x y/],
      [{ timeout: -5 }, /timeout.*-5/],
      [{ timeout: {} }, /timeout/],
      [{ host: 7 }, /host.*7/],
      [{ waitReady: [] }, /`waitReady` must be given together with `exec`, got \[\]/],
      [{ host: 'fe80::1%nowhere' }, /`host` must name a network interface.*fe80::1%nowhere/],
      [{ monHost: '::1%' }, /`monHost` must name a network interface.*::1%/],
      [{ hangTimeout: 100 }, /hangTimeout.*1000.*100/],
      [{ maxHeartbeatDelay: 100 }, /maxHeartbeatDelay.*1000.*100/],
      [{ uid: 'nobody' }, /uid.*whole number from 0.*nobody/],
      [{ gid: -1 }, /gid.*whole number from 0.*-1/],
      [{ ecv: 'yes' }, /ecv.*yes/],
      [{ ecv: { path: 'no-slash' } }, /ecv\.path.*no-slash/],
      [{ monPath: 'page' }, /monPath.*page/],
      [{ restart: 'sometimes' }, /restart.*on-failure.*sometimes/],
      [{ onUncaughtException: 'panic' }, /onUncaughtException.*panic/],
      [{ connThreshold: 1.5 }, /connThreshold.*1\.5/],
      [{ pids: 3 }, /pids.*3/],
      [{ scheduling: 'fair' }, /scheduling.*fair/],
    ];
    const program = await tryOptions(...cases.map(([options]) => options));
    const refused = program.seen('refused').map(({ args: [error] }) => error);
    assert.equal(refused.length, cases.length, program.output());
    for (const [index, { code, message, isError }] of refused.entries()) {
      assert.equal(code, 'ERR_CLUSTER2_INVALID_OPTION');
      assert.match(message, cases[index][1]);
      assert.ok(isError);
    }
  });

  it('take falsy values for the default, as old scripts need', async () => {
    const falsy = { noWorkers: 0, timeout: null, host: '', connThreshold: false, pids: '', ecv: null };
    const program = await tryOptions(falsy, {}, { noWorkers: '3', port: '8080' });
    assert.equal(program.seen('made').length, 3, program.output());
  });

  it('refuse the same port for monitor and application', async () => {
    const program = await tryOptions({ port: 4000, monPort: 4000 }, { port: 3001 }, { port: '4000', monPort: 4000 });
    const refused = program.seen('refused').map(({ args: [error] }) => error);
    assert.deepEqual(refused.map(({ code }) => code), Array(3).fill('ERR_CLUSTER2_INVALID_OPTION'));
    for (const { message } of refused) assert.match(message, /monPort|monitor/);
  });

  it('that are unknown are warned of once each, with the nearest known name', async () => {
    const program = await tryOptions({ noWorker: 2, monport: 0 });
    const warnings = await program.lines('warning', 2);
    assert.deepEqual(warnings.map(({ args: [code] }) => code), Array(2).fill('CLUSTER2_UNKNOWN_OPTION'));
    assert.match(warnings[0].args[1], /noWorker\b.*noWorkers/);
    assert.match(warnings[1].args[1], /monport.*monPort/);
    assert.equal(program.seen('made').length, 1);
  });
});

describe('listen', () => {
  afterEach(reap);

  it('without a function, or a second time in one process, throws an error with a code', async () => {
    const program = start('api-listen-twice');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    const said = (event) => program.seen(event).find(({ role }) => role === 'master').args;
    assert.equal(said('nothing')[0], 'ERR_CLUSTER2_CREATE_APP');
    assert.match(said('nothing')[1], /createApp must be a function/);
    assert.equal(said('a server')[0], 'ERR_CLUSTER2_CREATE_APP');
    assert.equal(said('first')[0], 'done');
    assert.equal(said('again')[0], 'ERR_CLUSTER2_ALREADY_LISTENING');
    assert.equal(said('another')[0], 'ERR_CLUSTER2_ALREADY_LISTENING');
  });
});

describe('a busy port', () => {
  let holder;
  let busy;
  before(async () => {
    holder = net.createServer();
    await new Promise((resolve) => { holder.listen(0, '0.0.0.0', resolve); });
    busy = holder.address().port;
  });
  after(() => holder.close());
  afterEach(reap);

  async function refused(program) {
    assert.deepEqual(await program.exit(), { code: 255, signal: null }, program.output());
    assert.equal(program.seen('forked').length, 0);
    assert.deepEqual(program.files('.').filter((name) => ['pids', 'logs'].includes(name)), []);
  }

  it('of the application ends the start with 255, before anything is forked or written', async () => {
    const program = start('api-cluster', { options: { port: busy } });
    await refused(program);
    const text = new RegExp(`^Port is use \\.\\.${busy}\ncluster2: another process listens there, .*\n$`);
    assert.match(program.stderr, text);
  });

  it('is found anywhere in a list of ports', async () => {
    const program = start('api-cluster', { options: { port: [await freePort(), busy] } });
    await refused(program);
    assert.match(program.stderr, new RegExp(`^Port is use \\.\\.${busy}$`, 'm'));
  });

  it('is found anywhere in a list of apps', async () => {
    const program = start('api-shapes', { args: ['list', await freePort(), await freePort(), busy] });
    await refused(program);
    assert.match(program.stderr, new RegExp(`^Port is use \\.\\.${busy}$`, 'm'));
  });

  it('of the monitor ends the start with status 255, before anything is forked or written', async () => {
    const program = start('api-cluster', { options: { monPort: busy } });
    await refused(program);
    assert.match(program.stderr, /^Address in use/);
  });

  it('is not what a monitor address that can\'t be had for another reason is called', async () => {
    const program = start('api-cluster', { options: { monHost: '192.0.2.1', monPort: await freePort() } });
    await refused(program);
    assert.match(program.stderr, /^cannot listen on the monitor's address 192\.0\.2\.1:\d+: Cannot assign.*\n$/);
  });

  for (const [mode, cluster] of Object.entries({ 'with workers': true, 'with cluster: false': false })) {
    it(`goes to an error listener with its code instead, where there is one, ${mode}`, async () => {
      const options = { port: busy, cluster };
      const program = start('api-shapes', { args: ['later'], options, env: { ON_ERROR: '1' } });
      assert.deepEqual((await program.line('error')).args, ['ERR_CLUSTER2_PORT_IN_USE']);
      assert.equal((await program.exit()).code, 255);
      assert.equal(program.stderr, '');
    });
  }

  for (const when of ['before', 'in the listener']) {
    it(`ends with the status that the application sets, ${when}`, async () => {
      const program = start('api-shapes', { args: ['later'], options: { port: busy }, env: { ON_ERROR: when } });
      await program.line('error');
      assert.equal((await program.exit()).code, 3);
    });
  }

  it('that createApp itself occupies is said to be held by this very process', async () => {
    const program = start('api-shapes', { args: ['holdsPort'], options: { port: await freePort() } });
    assert.equal((await program.exit()).code, 255);
    assert.match(program.stderr, /this (very )?process/);
  });

  it('harms a cluster that runs on it in no way', async () => {
    const first = await ready(start('api-cluster', { options: { noWorkers: 1 } }), 1);
    const second = start('api-cluster', { options: { port: first.port }, cwd: first.cwd });
    assert.equal((await second.exit()).code, 255);
    assert.equal((await request(first.port)).body, 'hello');
    assert.deepEqual(first.files('pids').filter((name) => name.endsWith('.pid')),
      [`master.${first.pid}.pid`, `worker.${first.workers[0]}.pid`].sort());
  });
});

describe('a host that nobody knows', () => {
  afterEach(reap);

  for (const cluster of [true, false]) {
    it(`ends the start with 255 and a code of ours, with cluster: ${cluster}`, async () => {
      const given = { args: ['later'], options: { host: 'nobody.invalid', cluster } };
      const program = start('api-shapes', given);
      assert.deepEqual(await program.exit({ within: 20000 }), { code: 255, signal: null });
      assert.match(program.stderr, /^cannot listen on nobody\.invalid: getaddrinfo E\w+ nobody\.invalid\n$/);
      const listener = start('api-shapes', { ...given, env: { ON_ERROR: '1' } });
      assert.deepEqual((await listener.line('error')).args, ['ERR_CLUSTER2_LISTEN']);
    });
  }
});
