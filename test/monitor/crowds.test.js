// Crowds on the monitor's port: they hold up neither supervision nor health, and leave descriptors for both.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { connect, connectTo, countDescriptors, eventually, freePort, makeDirectory, ready, reap, request, start } =
  require('../support');
const { crowd } = require('../support/crowd');

// What an answer may take, in ms, while a crowd is there; machines that many share need some more.
const HEALTH_MS = Number(process.env.CLUSTER2_PROBE_MS ?? 100);
const CLIENT_MS = Number(process.env.CLUSTER2_CLIENT_MS ?? 300);
const PROBES = ['/live', '/ready', '/ecv', '/metrics'];

describe('a crowd on the monitor\'s port', function () {
  this.timeout(60_000);
  let directory;
  let blocker;
  let present;

  beforeEach(() => {
    directory = makeDirectory();
    blocker = path.join(directory, 'blocked');
    fs.writeFileSync(blocker, '');
    present = [];
  });
  afterEach(async () => {
    fs.rmSync(directory, { recursive: true, force: true });
    for (const one of present) await one.leave();
    await reap();
  });

  async function startApp({ node, env, ...options } = {}) {
    const monPort = await freePort();
    const all = { noWorkers: 3, monPort, monHost: '127.0.0.1', logs: 'logs', ...options };
    const program = start('ecv', { options: all, node, args: ['http'], env: { BLOCK_WHILE: blocker, ...env } });
    await ready(program, all.noWorkers);
    return Object.assign(program, { monPort });
  }

  async function gather(program, crowdOptions) {
    const one = await crowd(program.monPort, crowdOptions);
    present.push(one);
    return one.state;
  }

  async function timed(port, options) {
    const begun = performance.now();
    const { status } = await request(port, options);
    return { status, ms: performance.now() - begun };
  }

  it('of 200 scrapers makes no client of the application wait, nor a question about health', async () => {
    const program = await startApp();
    const [victim] = program.workers;
    const stuck = await connectTo(program.port, victim);
    stuck.get('/block');
    await program.line('blocked');
    const scrapers = await gather(program, { clients: 200, paths: ['/metrics', '/status.json', '/', '/metrics'] });
    await eventually(() => scrapers.answered > 1000, { what: '1,000 scrapes' });
    const [clients, health] = [[], []];
    for (let round = 0; round < 100; round += 1) {
      const both = [timed(program.port, { path: '/pid' }), timed(program.monPort, { path: '/live' })];
      const [client, live] = await Promise.all(both);
      assert.deepEqual([client.status, live.status], [200, 200]);
      clients.push(client.ms);
      health.push(live.ms);
    }
    fs.rmSync(blocker);
    stuck.close();
    for (const times of [clients, health]) times.sort((one, other) => one - other);
    if (process.env.SHOW) console.log(`clients up to ${clients.at(-1)} ms, /live p50 ${health[50]} p99 ${health[98]}`);
    assert.ok(clients.at(-1) < CLIENT_MS, `a client waited for ${clients.at(-1)} ms`);
    assert.ok(health[98] < HEALTH_MS, `the 99th percentile of /live is ${health[98]} ms`);
  });

  it('of scrapers gets a rendering a tenth of a second, which all of them share', async () => {
    const program = await startApp({ noWorkers: 1 });
    const scrapers = await gather(program, { clients: 20, paths: ['/metrics'] });
    await eventually(() => scrapers.answered > 20, { what: 'first scrapes' });
    const [before, begun] = [scrapers.answered, performance.now()];
    await eventually(() => scrapers.answered > before + 400, { what: 'twenty rounds' });
    const rounds = (scrapers.answered - before) / 20;
    const seconds = (performance.now() - begun) / 1000;
    // The counter itself is read five times a second.
    assert.ok(rounds / seconds < 13, `${rounds} rounds in ${seconds} s`);
    // A scrape tells of what happened before it.
    const total = async () => {
      const { body } = await request(program.monPort, { path: '/metrics' });
      return Number(/^cluster2_http_requests_total (\d+)$/m.exec(body)[1]);
    };
    const count = await total();
    for (let sent = 1; sent <= 3; sent += 1) {
      await request(program.port, { path: '/pid' });
      assert.equal(await total(), count + sent);
    }
  });

  it('of 1,100 clients that read nothing keeps nobody from health, nor for long from the rest', async () => {
    const program = await startApp({ noWorkers: 1 });
    fs.mkdirSync(path.join(program.cwd, 'logs'), { recursive: true });
    fs.writeFileSync(path.join(program.cwd, 'logs', 'large.log'), Buffer.alloc(16 * 1024 * 1024, 'x'));
    const paths = ['/logs/large.log', '/logs/large.log', '/logs/large.log', '/'];
    await gather(program, { clients: 1100, paths, reads: false });
    for (let round = 0; round < 10; round += 1) {
      for (const probe of PROBES) {
        const { status } = await request(program.monPort, { path: probe, within: 5000 });
        assert.equal(status, 200, `${probe} in round ${round}`);
      }
    }
    await eventually(async () => (await request(program.monPort, { path: '/status.json' })).status === 200);
  });

  it('leaves descriptors for supervision where there are few', async () => {
    const node = path.join(directory, 'few-descriptors');
    const real = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
    fs.writeFileSync(node, `#!/bin/sh\nulimit -n 256\nexec '${real}' "$@"\n`, { mode: 0o755 });
    const program = await startApp({ node, noWorkers: 2 });
    const idle = [];
    try {
      for (let count = 0; count < 300; count += 1) {
        const connection = await connect(program.monPort).catch(() => undefined);
        if (connection) idle.push(connection.get('/live'));
      }
      assert.ok(countDescriptors(program.pid) <= 256 - 64, `${countDescriptors(program.pid)} descriptors`);
      for (const probe of PROBES) assert.equal((await request(program.monPort, { path: probe })).status, 200, probe);
      const [victim] = program.workers;
      process.kill(victim, 'SIGKILL');
      await program.lines('listening', 3);
      const clients = await Promise.all(Array.from({ length: 32 }, () => request(program.port, { path: '/pid' })));
      for (const { status } of clients) assert.equal(status, 200);
    } finally {
      for (const connection of idle) connection.close();
    }
  });
});
