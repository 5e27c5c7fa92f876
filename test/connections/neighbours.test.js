// The queue of each slot is watched by the next workers too: whoever is idle takes a client, and the master need not do
// anything. So in most of these tests the master is stopped.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http2 = require('node:http2');
const https = require('node:https');

const {
  countDescriptors, eventually, inTime, ready, reap, request, start, startCluster, underWay,
} = require('../support');
const { ask } = require('../support/control');

const WORKERS = 4;
// By chance alone, not one of so many would go to a certain slot once in 100,000 runs.
const REQUESTS = 40;
const SOON_MS = 1000;

/** The pids that answer on new connections, each within `within` ms. */
async function answerers(port, within = SOON_MS) {
  const pids = [];
  // One after the other: of many at once a worker gives some back, to be handed on by the master.
  while (pids.length < REQUESTS) pids.push(Number((await request(port, { path: '/pid', within })).body));
  return pids;
}

/** The processor time that a process has used, in hundredths of a second. */
function ticksOf(pid) {
  const [, user, system] = /\) (?:\S+ ){11}(\d+) (\d+)/.exec(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return Number(user) + Number(system);
}

/** The status of a new connection over TLS. */
function overTls(port) {
  return new Promise((resolve, reject) => {
    const asked = https.get({ port, path: '/pid', rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on('error', reject);
  });
}

/** The status of a new session of HTTP/2. */
function overHttp2(port) {
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    session.request({ ':path': '/pid' }).on('response', (headers) => {
      resolve(headers[':status']);
      session.destroy();
    });
  });
}

describe('clients of a slot', () => {
  afterEach(reap);

  it('are served by its neighbours while its worker computes, though the master is stopped', async () => {
    const program = await startCluster({ noWorkers: WORKERS });
    const [victim] = program.workers;
    const stuck = await underWay(program, victim, '/block');
    program.kill('SIGSTOP');
    const pids = await answerers(program.port);
    program.kill('SIGCONT');
    assert.ok(!pids.includes(victim));
    stuck.close();
  });

  it('are served by its neighbours when its worker is dead, though the master is stopped', async () => {
    const program = await startCluster({ noWorkers: WORKERS });
    const [victim] = program.workers;
    program.kill('SIGSTOP');
    process.kill(victim, 'SIGKILL');
    const pids = await answerers(program.port);
    program.kill('SIGCONT');
    assert.ok(!pids.includes(victim));
  });

  it('are served by its neighbours on every port and over TLS', async () => {
    const program = start('torture', { options: { noWorkers: WORKERS } });
    await ready(program, WORKERS * 3);
    const [, tls, h2] = program.addresses.app.filter(({ kind }) => kind !== 'unix').map(({ port }) => port);
    process.kill(program.workers[0], 'SIGSTOP');
    program.kill('SIGSTOP');
    const statuses = [];
    while (statuses.length < REQUESTS) {
      statuses.push(await inTime(overTls(tls), 'an answer over TLS', SOON_MS));
      statuses.push(await inTime(overHttp2(h2), 'an answer over HTTP/2', SOON_MS));
    }
    program.kill('SIGCONT');
    process.kill(program.workers[0], 'SIGCONT');
    assert.deepEqual([...new Set(statuses)], [200]);
  });

  it('are given to others when all who watch its queue stand still', async () => {
    const program = await startCluster({ noWorkers: 8 });
    const still = program.workers.slice(0, 4);
    for (const pid of still) process.kill(pid, 'SIGSTOP');
    const pids = await answerers(program.port, 500);
    for (const pid of still) process.kill(pid, 'SIGCONT');
    assert.ok(still.every((pid) => !pids.includes(pid)));
  });

  it('are shared out evenly while all workers are idle', async () => {
    const program = await startCluster({ noWorkers: 8 });
    // Who began to watch last would be woken first and take most of them, until all have watched anew.
    await eventually(async () => {
      const counts = new Map(program.workers.map((pid) => [pid, 0]));
      for (let sent = 0; sent < 400; sent += 1) {
        const pid = Number((await request(program.port, { path: '/pid' })).body);
        counts.set(pid, counts.get(pid) + 1);
      }
      return Math.max(...counts.values()) <= 75;
    }, { what: 'an even share' });
  });

  it('belong to their slot where they are to stay with one worker', async () => {
    const program = await startCluster({ noWorkers: WORKERS, sticky: 'address' });
    const pids = await answerers(program.port);
    assert.equal(new Set(pids).size, 1);
  });
});

describe('a worker that closes its server', () => {
  afterEach(reap);

  it('takes no client of its neighbours any more, who take its own', async () => {
    const program = start('closes-server', { options: { noWorkers: WORKERS } });
    await ready(program, WORKERS);
    const closed = Number((await request(program.port, { path: '/close' })).body);
    await program.line(({ event }) => event === 'closed');
    const pids = await answerers(program.port);
    assert.ok(!pids.includes(closed));
    assert.deepEqual(program.seen('died'), []);
  });
});

describe('slots that come and go', () => {
  afterEach(reap);

  it('leave no descriptor and no worker that spins behind', async () => {
    const program = await startCluster({ noWorkers: 2, keepAliveGrace: 50 });
    const [first] = program.workers;
    await answerers(program.port);
    const before = countDescriptors(first);
    let listening = 2;
    for (const wanted of [6, 2, 6, 2]) {
      await ask(program, 'scale', { workers: wanted });
      listening += Math.max(0, wanted - 2);
      await program.lines('listening', listening);
      await answerers(program.port);
    }
    await eventually(() => program.seen('died').length === 8, { what: 'the end of those who are too many' });
    await eventually(() => countDescriptors(first) <= before, { what: 'as few descriptors as before' });
    const began = { ticks: ticksOf(first), at: performance.now() };
    await answerers(program.port);
    await eventually(() => performance.now() - began.at > 1000);
    const used = ticksOf(first) - began.ticks;
    assert.ok(used < 50, `${used} hundredths of a second in about one`);
  });
});
