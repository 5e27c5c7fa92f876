// Workers whose event loop stands still: clients in their queues are served by others, and new ones stay away until
// the loop turns again.
'use strict';

const assert = require('node:assert/strict');

const { connect, eventually, reap, request, startCluster, underWay } = require('../support');
const { ask } = require('../support/control');

const WORKERS = 4;
// By chance alone, not one of so many would go to the worker that stands still once in 100,000 runs.
const REQUESTS = 40;

/** Sends requests, a few at a time; gives the pids that answered. Nobody waits for longer than `within`. */
async function answerers(port, within) {
  const pids = [];
  for (let sent = 0; sent < REQUESTS; sent += 8) {
    const batch = Array.from({ length: 8 }, () => request(port, { path: '/pid', within }));
    pids.push(...(await Promise.all(batch)).map(({ body }) => Number(body)));
  }
  return pids;
}

for (const scheduling of ['slots', 'shared']) {
  describe(`a worker whose event loop stands still (${scheduling})`, () => {
    afterEach(reap);

    it('keeps nobody waiting but those whose connections it had taken', async () => {
      const program = await startCluster({ noWorkers: WORKERS, scheduling });
      const [victim] = program.workers;
      const stuck = await underWay(program, victim, '/block');
      const pids = await answerers(program.port);
      assert.ok(!pids.includes(victim));
      stuck.close();
    });

    it('is left alone when it is stopped, and gets connections again when it goes on', async () => {
      const program = await startCluster({ noWorkers: WORKERS, scheduling });
      const [, victim] = program.workers;
      process.kill(victim, 'SIGSTOP');
      const pids = await answerers(program.port);
      process.kill(victim, 'SIGCONT');
      assert.ok(!pids.includes(victim));
      const includesVictim = async () => (await answerers(program.port)).includes(victim);
      await eventually(includesVictim, { what: 'an answer of the victim' });
      assert.deepEqual(program.seen('died'), []);
    });
  });
}

describe('a cluster in which every event loop stands still', () => {
  afterEach(reap);

  it('answers all who waited when one turns again', async () => {
    const program = await startCluster({ noWorkers: 2 });
    for (const pid of program.workers) process.kill(pid, 'SIGSTOP');
    const answers = answerers(program.port, 10000);
    const [first] = program.workers;
    setTimeout(() => process.kill(first, 'SIGCONT'), 300);
    const pids = await answers;
    process.kill(program.workers[1], 'SIGCONT');
    assert.deepEqual([...new Set(pids)], [first]);
  });
});

describe('a client whom a full worker refuses', () => {
  afterEach(reap);

  it('waits for another one whose event loop stands still', async () => {
    const program = await startCluster({ noWorkers: 3, sticky: 'address' });
    const clientOf = async (pid) => {
      for (let host = 1; ; host += 1) {
        const connection = await connect(program.port, { localAddress: `127.0.0.${host}` });
        const [, answerer] = await connection.get('/pid').until(/\r\n\r\n(\d+)$/);
        if (Number(answerer) === pid) return Object.assign(connection, { address: `127.0.0.${host}` });
        connection.close();
      }
    };
    // The last slot is given up first.
    const [full, blocked, leaving] = program.seen('forked').map(({ args: [pid] }) => pid);
    const clients = [await clientOf(full), await clientOf(blocked), await clientOf(leaving)];
    clients[0].get('/most?1');
    await clients[0].until(/set$/);
    process.kill(leaving, 'SIGSTOP');
    // It waits in the queue of a slot that is given up, which the master empties.
    const waiting = await connect(program.port, { localAddress: clients[2].address });
    clients[1].get('/block?2000');
    await program.line(({ event, args: [url] }) => event === 'request' && url === '/block?2000');
    assert.equal((await ask(program, 'scale', { workers: 2 })).wanted, 2);
    const [, pid] = await waiting.get('/pid').until(/\r\n\r\n(\d+)$/);
    assert.equal(Number(pid), blocked);
    process.kill(leaving, 'SIGCONT');
    for (const client of [...clients, waiting]) client.close();
  });
});
