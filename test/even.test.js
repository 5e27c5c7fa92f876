// Connections that stay are spread evenly, few as they may be, however they arrive.
'use strict';

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const https = require('node:https');

const { connect, eventually, freePort, inTime, ready, reap, request, start, startCluster } = require('./support');

const WORKERS = 4;
const CLIENTS = 64;

const times = (count, deed) => Array.from({ length: count }, deed);

/** A keep-alive connection that was answered once: `{pid, close}`. */
async function stay(port) {
  const connection = await connect(port);
  const [, pid] = await connection.get('/pid').until(/\r\n\r\n(\d+)$/);
  return { pid: Number(pid), close: () => connection.close() };
}

/** A connection by TLS that was answered once. */
function stayByTls(port) {
  const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });
  return new Promise((resolve, reject) => {
    const answered = (response) => {
      response.setEncoding('utf8').on('data', (pid) => resolve({ pid: Number(pid), close: () => agent.destroy() }));
    };
    https.get({ host: '127.0.0.1', port, path: '/pid', agent }, answered).on('error', reject);
  });
}

/** A session of HTTP/2 that was answered once. */
function stayByHttp2(port) {
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request({ ':path': '/pid' }).setEncoding('utf8');
    stream.on('data', (pid) => resolve({ pid: Number(pid), close: () => session.destroy() }));
  });
}

// Each is given a function that opens one more and resolves when it is answered.
const arrivals = {
  'all at once': (open) => Promise.all(times(CLIENTS, open)),
  'one after the other': async (open) => {
    const connections = [];
    while (connections.length < CLIENTS) connections.push(await open());
    return connections;
  },
  'in bursts': async (open) => {
    const connections = [];
    while (connections.length < CLIENTS) connections.push(...await Promise.all(times(CLIENTS / 4, open)));
    return connections;
  },
};

/** Within 20 percent of the mean, or within 2. */
function assertEven(connections, workers) {
  const mean = connections.length / workers.length;
  const counts = workers.map((worker) => connections.filter(({ pid }) => pid === worker).length);
  const furthest = Math.max(...counts.map((count) => Math.abs(count - mean)));
  assert.ok(furthest <= Math.max(2, mean * 0.2), `${counts} around ${mean}`);
  assert.equal(counts.reduce((sum, count) => sum + count), connections.length, 'somebody else answered');
}

async function moved(program) {
  const { body } = await request(program.monPort, { path: '/metrics' });
  return Number(/^cluster2_connections_moved_total (\d+)/m.exec(body)[1]);
}

async function startWatched(options) {
  const monPort = await freePort();
  const program = await startCluster({ noWorkers: WORKERS, monPort, monHost: '127.0.0.1', ...options });
  return Object.assign(program, { monPort });
}

describe('connections that stay', () => {
  afterEach(reap);

  for (const [how, arrive] of Object.entries(arrivals)) {
    it(`are spread evenly when they arrive ${how}`, async () => {
      const program = await startWatched();
      const connections = await arrive(() => stay(program.port));
      assertEven(connections, program.workers);
      assert.ok(await moved(program) <= CLIENTS / 2);
      for (const { close } of connections) close();
    });
  }

  for (const [index, kind, open] of [[1, 'https', stayByTls], [2, 'HTTP/2', stayByHttp2]]) {
    it(`are spread evenly by ${kind}`, async () => {
      const program = await ready(start('torture', { options: { noWorkers: WORKERS } }), WORKERS * 3);
      const ports = program.addresses.app.filter(({ kind: of }) => of !== 'unix').map(({ port }) => port);
      const connections = await inTime(Promise.all(times(32, () => open(ports[index]))), 'all answers');
      assertEven(connections, [...new Set(program.workers)]);
      for (const { close } of connections) close();
    });
  }

  it('are spread evenly over those that are left when others have gone', async () => {
    const program = await startWatched();
    const connections = await Promise.all(times(CLIENTS, () => stay(program.port)));
    const [unlucky] = program.workers;
    const gone = connections.filter(({ pid }) => pid === unlucky);
    for (const { close } of gone) close();
    const stayed = connections.filter(({ pid }) => pid !== unlucky);
    // The others stay as they are, and all that comes is for the one that has none.
    const back = await Promise.all(gone.map(() => stay(program.port)));
    assertEven([...stayed, ...back], program.workers);
    for (const { close } of [...stayed, ...back]) close();
  });

  it('go to no worker that stands still, though it has the fewest', async () => {
    const program = await startWatched();
    const [victim, ...others] = program.workers;
    process.kill(victim, 'SIGSTOP');
    const connections = await Promise.all(times(CLIENTS, () => stay(program.port)));
    assertEven(connections, others);
    process.kill(victim, 'SIGCONT');
    for (const { close } of connections) close();
  });

  it('are answered while workers are replaced', async () => {
    const program = await startWatched({ keepAliveGrace: 2000 });
    const answers = times(CLIENTS, () => stay(program.port));
    process.kill(program.pid, 'SIGUSR2');
    const connections = await Promise.all(answers);
    await eventually(() => program.seen('died').length === WORKERS);
    for (const { close } of connections) close();
  });
});

describe('connections that come for one request', () => {
  afterEach(reap);

  it('are not moved', async () => {
    const program = await startWatched();
    for (let round = 0; round < 40; round += 1) {
      await Promise.all(times(16, () => request(program.port)));
    }
    // The first ones, before it is known that they leave soon, may be.
    assert.ok(await moved(program) <= 8);
  });
});
