// The `heartbeat` event, in workers and in the master, and what is counted into it.
'use strict';

const assert = require('node:assert/strict');

const { reap, ready, request, start } = require('../support');

const INTERVAL = 300;
const OF_WORKER = ['pid', 'uptime', 'cpu', 'memory', 'aliveConnections', 'totalConnections', 'timedoutConnections',
  'transactions', 'durations', 'totalTransactions', 'totalDurations', 'gc', 'error', 'cycle'];
const OF_MASTER = ['pid', 'usertime', 'systime', 'uptime', 'totalmem', 'freemem', 'totalConnections',
  'pendingConnections', 'timedoutConnections', 'fullGCs', 'incrementalGCs', 'pauseMS', 'totalTransactions',
  'totalDuration', 'errors', 'interval', 'threads'];

const beatOf = (role) => ({ event, role: of }) => event === 'heartbeat' && of === role;
const total = (beats, name) => beats.reduce((sum, beat) => sum + beat[name], 0);

describe('heartbeat', () => {
  afterEach(reap);

  it('is emitted in each worker, with counts that restart after each beat and totals that do not', async () => {
    const program = await ready(start('scoreboard', { options: { noWorkers: 1, heartbeatInterval: INTERVAL } }), 1);
    const { body } = await request(program.port, { path: '/transactions' });
    assert.equal(body, 'Timeout');
    const [{ args: [first] }, { args: [second] }] = await program.lines(beatOf('worker'), 2);
    assert.deepEqual(Object.keys(first), OF_WORKER);
    assert.deepEqual(Object.keys(first.gc), ['incremental', 'full', 'pauseMS']);
    assert.equal(first.pid, program.workers[0]);
    assert.deepEqual([first.totalConnections, first.transactions, first.durations], [1, 3, 5]);
    assert.deepEqual([second.totalConnections, second.transactions, second.durations], [1, 0, 0]);
    assert.deepEqual([first.error.count, second.error.count], [1, 0]);
    assert.deepEqual([second.totalTransactions, second.totalDurations], [3, 5]);
    assert.ok(first.memory > 1e7 && first.cpu > 0 && first.uptime > 0 && first.cycle >= INTERVAL - 2, first);
  });

  it('of the master comes an interval after the first of a worker, with the sums of all workers', async () => {
    const program = await ready(start('scoreboard', { options: { noWorkers: 2, heartbeatInterval: INTERVAL } }));
    for (let count = 0; count < 5; count += 1) await request(program.port, { path: '/transactions' });
    const [{ at }] = await program.lines(beatOf('worker'), 1);
    const lines = await program.lines(beatOf('master'), 2);
    const beats = lines.map(({ args: [beat] }) => beat);
    assert.ok(lines[0].at - at >= INTERVAL * 0.8, `the master's came ${lines[0].at - at} ms after the worker's`);
    assert.deepEqual(Object.keys(beats[0]), OF_MASTER);
    assert.ok(Object.values(beats[0]).every((value) => typeof value === 'number'), JSON.stringify(beats[0]));
    assert.deepEqual([beats[0].pid, beats[0].threads], [program.pid, 2]);
    assert.deepEqual([total(beats, 'totalTransactions'), total(beats, 'totalDuration'), total(beats, 'errors')],
      [15, 25, 5]);
    assert.deepEqual(beats.map(({ totalConnections }) => totalConnections), [5, 5]);
  });

  it('of the master keeps what a dead worker had counted', async () => {
    const program = await ready(start('scoreboard', { options: { noWorkers: 1, heartbeatInterval: INTERVAL } }), 1);
    await request(program.port, { path: '/transactions' });
    process.kill(program.workers[0], 'SIGKILL');
    await program.lines('listening', 2);
    const { args: [{ totalConnections, totalTransactions }] } = await program.line(beatOf('master'));
    assert.deepEqual([totalConnections, totalTransactions], [1, 3]);
  });
});
