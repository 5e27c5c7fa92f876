// Connections that stay are spread evenly, few as they may be, however they arrive.
'use strict';

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const https = require('node:https');

const { connect, eventually, freePort, inTime, ready, reap, request, start } = require('../support');
const { readScoreboard } = require('../support/scoreboard');

const WORKERS = 4;
const CLIENTS = 64;
// How often a round is played again that the machine has disturbed.
const ROUNDS = 6;
const LONG_MS = 30_000;

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

/** How many connections were `moved` or `rescued` so far. */
async function countOf(program, what) {
  const { body } = await request(program.monPort, { path: '/metrics' });
  return Number(new RegExp(`^cluster2_connections_${what}_total (\\d+)`, 'm').exec(body)[1]);
}

async function startApp(app, options) {
  const monPort = await freePort();
  const program = start(app, { options: { noWorkers: WORKERS, monPort, monHost: '127.0.0.1', ...options } });
  await ready(program, app === 'torture' ? WORKERS * 3 : WORKERS);
  return Object.assign(program, { monPort, workers: [...new Set(program.workers)] });
}

/**
 * Asserts that what `round(program)` opens is even. A worker that a busy machine lets wait for long is taken to be
 * blocked, and its clients are given to others: then the round is played again, with a new cluster.
 */
async function assertRoundEven(app, round) {
  for (let left = ROUNDS; left > 0; left -= 1) {
    const program = await startApp(app);
    const connections = await inTime(round(program), 'all answers', LONG_MS);
    const isDisturbed = await countOf(program, 'rescued') + await countOf(program, 'passed_over') > 0;
    if (!isDisturbed) assertEven(connections, program.workers);
    const count = await countOf(program, 'moved');
    assert.ok(count <= connections.length, `${count} were moved`);
    for (const { close } of connections) close();
    if (!isDisturbed) return;
    program.kill('SIGKILL');
    await program.gone();
  }
  console.log('      the machine is too busy to tell');
}

describe('connections that stay', () => {
  afterEach(reap);

  for (const [how, arrive] of Object.entries(arrivals)) {
    it(`are spread evenly when they arrive ${how}`, async () => {
      await assertRoundEven('api-cluster', ({ port }) => arrive(() => stay(port)));
    });
  }

  for (const [index, kind, open] of [[1, 'https', stayByTls], [2, 'HTTP/2', stayByHttp2]]) {
    it(`are spread evenly by ${kind}`, async () => {
      await assertRoundEven('torture', ({ addresses }) => {
        const ports = addresses.app.filter(({ kind: of }) => of !== 'unix').map(({ port }) => port);
        return arrivals['one after the other'](() => open(ports[index]));
      });
    });
  }

  it('go where others have gone', async () => {
    await assertRoundEven('api-cluster', async ({ pid: master, port, workers: [left] }) => {
      const connections = await Promise.all(times(CLIENTS, () => stay(port)));
      const stayed = connections.filter(({ pid, close }) => {
        if (pid === left) close();
        return pid !== left;
      });
      // Who comes before the worker has seen them go finds it as full as the others.
      await eventually(() => {
        const { rows } = readScoreboard(master);
        return rows.find(({ pid }) => pid === left).connectionsOpen === 0;
      }, { what: 'the end of its connections' });
      while (stayed.length < CLIENTS) stayed.push(await stay(port));
      return stayed;
    });
  });

  it('go to no worker that stands still, though it has the fewest', async () => {
    const program = await startApp('api-cluster');
    const [victim, ...others] = program.workers;
    process.kill(victim, 'SIGSTOP');
    const connections = await Promise.all(times(CLIENTS, () => stay(program.port)));
    assert.ok(connections.every(({ pid }) => others.includes(pid)));
    process.kill(victim, 'SIGCONT');
    for (const { close } of connections) close();
  });

  it('are answered while workers are replaced', async () => {
    const program = await startApp('api-cluster', { keepAliveGrace: 2000 });
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
    const program = await startApp('api-cluster');
    for (let round = 0; round < 40; round += 1) {
      await Promise.all(times(16, () => request(program.port)));
    }
    // The first ones, before it is known that they leave soon, may be.
    const moved = await countOf(program, 'moved');
    assert.ok(moved <= 16, `${moved} were moved`);
  });
});
