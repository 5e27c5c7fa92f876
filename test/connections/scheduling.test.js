// How connections are spread: by the master in turn (`rr`), or by the client's address (`sticky`).
'use strict';

const assert = require('node:assert/strict');

const { io } = require('socket.io-client');

const {
  connect, connectTo, eventually, freePort, inTime, ready, reap, request, start, startCluster,
} = require('../support');
const { ask } = require('../support/control');
const { makeNetwork, requestWithin, whyNoNetwork } = require('../support/network');

const WORKERS = 4;
const HOSTS = { IPv4: '127.0.0.1', IPv6: '::1' };

/** A counter of connections on the monitor's page of metrics. */
async function countOf(program, what) {
  const { body } = await request(program.monPort, { path: '/metrics' });
  return Number(new RegExp(`^cluster2_connections_${what}_total (\\d+)`, 'm').exec(body)?.[1]);
}

async function startCounted(options) {
  const monPort = await freePort();
  return Object.assign(await startCluster({ monPort, monHost: '127.0.0.1', ...options }), { monPort });
}

async function answerer(port, options) {
  return Number((await request(port, { path: '/pid', ...options })).body);
}

describe("scheduling: 'rr'", () => {
  afterEach(reap);

  it('gives each connection to the worker with the fewest', async () => {
    const program = await startCluster({ noWorkers: 3, scheduling: 'rr' });
    const connections = await Promise.all(Array.from({ length: 12 }, () => connect(program.port)));
    const counts = new Map();
    for (const connection of connections) {
      const [, pid] = await connection.get('/pid').until(/\r\n\r\n(\d+)$/);
      counts.set(pid, (counts.get(pid) ?? 0) + 1);
    }
    assert.deepEqual([...counts.values()], [4, 4, 4]);
    for (const connection of connections) connection.close();
  });

  it('counts no connection as rescued', async () => {
    const program = await startCounted({ noWorkers: 2, scheduling: 'rr' });
    for (let sent = 0; sent < 10; sent += 1) await answerer(program.port);
    assert.equal(await countOf(program, 'rescued'), 0);
  });

  it('closes a connection that every worker goes on refusing, and counts it', async () => {
    const program = await startCounted({ noWorkers: 2, scheduling: 'rr' });
    const full = [];
    for (const pid of program.workers) {
      const connection = await connectTo(program.port, pid);
      full.push(connection.get('/most?1'));
      await connection.until(/set$/);
    }
    const began = Date.now();
    await (await connect(program.port)).get('/pid').ended();
    assert.ok(Date.now() - began >= 500, 'closed at once');
    await eventually(async () => await countOf(program, 'refused') === 1, { what: 'a count' });
    for (const connection of full) connection.close();
  });

  it('serves several ports and unix sockets alike', async () => {
    const program = await startCluster({ noWorkers: 2, scheduling: 'rr', port: [0, './rr.sock'] });
    const path = `${program.cwd}/rr.sock`;
    for (const port of [program.port, path]) {
      const pids = await Promise.all(Array.from({ length: 6 }, () => answerer(port)));
      assert.ok(pids.every((pid) => program.workers.includes(pid)), port);
    }
  });

  it('refuses connections when the cluster has shut down, after all were answered', async () => {
    const program = await startCluster({ noWorkers: 2, scheduling: 'rr' });
    const slow = Array.from({ length: 4 }, () => request(program.port, { path: '/slow?300' }));
    await program.lines((line) => line.event === 'request' && line.args[0].startsWith('/slow'), 4);
    program.kill('SIGTERM');
    for (const { body } of await Promise.all(slow)) assert.equal(body, 'slow');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });
});

if (!whyNoNetwork()) describe("scheduling: 'slots' where the kernel takes no program", () => {
  const DEATHS = 6;
  let network;
  before(() => { network = makeNetwork('echo 0 > /proc/sys/net/core/optmem_max'); });
  after(() => network.remove());
  afterEach(reap);

  it('serves all the same, with one warning for all deaths', async () => {
    const program = await startCluster({ noWorkers: 3 }, { node: network.node });
    for (let death = 1; death <= DEATHS; death += 1) {
      process.kill(program.seen('listening').at(-1).args[0], 'SIGKILL');
      await program.lines('listening', 3 + death);
      const { body } = await requestWithin(program.pid, { host: '127.0.0.1', port: program.port });
      assert.equal(body, 'hello');
    }
    assert.equal(program.seen(({ event, text }) => event === 'warning' && text.includes('cannot steer')).length, 1);
  });
});

describe("sticky: 'address'", () => {
  afterEach(reap);

  it('keeps a client with its worker, and with the successor in its slot', async () => {
    const program = await startCluster({ noWorkers: WORKERS, sticky: 'address' });
    const homes = new Map();
    for (let client = 1; client <= 20; client += 1) {
      const localAddress = `127.0.0.${client}`;
      const pids = await Promise.all([1, 2, 3].map(() => answerer(program.port, { localAddress })));
      assert.equal(new Set(pids).size, 1, localAddress);
      homes.set(localAddress, pids[0]);
    }
    assert.equal(new Set(homes.values()).size, WORKERS);
    const [victim] = program.workers;
    process.kill(victim, 'SIGKILL');
    await program.lines('listening', WORKERS + 1);
    const successor = program.seen('listening').at(-1).args[0];
    for (const [localAddress, pid] of homes) {
      const wanted = pid === victim ? successor : pid;
      const answered = () => answerer(program.port, { localAddress });
      if (pid !== victim) assert.equal(await answered(), wanted, localAddress);
      await eventually(async () => (await answered()) === wanted, { what: `${localAddress} to be at home` });
    }
  });

  it('is refused where nobody could tell clients apart', async () => {
    const program = start('api-cluster', { options: { sticky: 'address', scheduling: 'rr' } });
    assert.notEqual((await program.exit()).code, 0);
    assert.match(program.stderr, /option `sticky` must be 'none' with `scheduling: 'rr'`/);
  });

  it('is refused with more workers than the kernel can choose from, at the start and later', async () => {
    const refused = start('api-cluster', { options: { sticky: 'address', noWorkers: 221 } });
    assert.notEqual((await refused.exit()).code, 0);
    assert.match(refused.stderr, /option `noWorkers` must be at most 220 with `sticky: 'address'`, got 221/);
    const program = await startCluster({ noWorkers: 1, sticky: 'address' });
    const { code, message } = await ask(program, 'scale', { workers: 221 });
    assert.equal(code, 'ERR_CLUSTER2_INVALID_OPTION');
    assert.match(message, /`scale.workers` must be at most 220 with `sticky: 'address'`, got 221/);
  });

  for (const [family, host] of Object.entries(HOSTS)) {
    it(`carries socket.io's long-polling over ${WORKERS} workers (${family})`, async () => {
      const options = { noWorkers: WORKERS, sticky: 'address', host };
      const program = await ready(start('socket-io', { options }), WORKERS);
      const url = `http://${family === 'IPv6' ? `[${host}]` : host}:${program.port}`;
      const clients = [1, 2, 3].map(() => io(url, { transports: ['polling'], forceNew: true, reconnection: false }));
      try {
        for (const client of clients) await talk(client);
      } finally {
        for (const client of clients) client.close();
      }
    });
  }
});

async function talk(client) {
  const connected = new Promise((resolve, reject) => {
    if (client.connected) resolve();
    client.on('connect', resolve).on('connect_error', reject);
  });
  await inTime(connected, 'a connection of socket.io');
  for (let count = 0; count < 10; count += 1) {
    assert.equal(await inTime(client.timeout(5000).emitWithAck('echo', `text ${count}`), 'an echo'), `text ${count}`);
  }
}
