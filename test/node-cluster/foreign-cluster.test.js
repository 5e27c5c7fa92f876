// A Cluster within the worker of another cluster, such as PM2's cluster mode: one process that serves.
'use strict';

const assert = require('node:assert/strict');

const { connect, eventually, freePort, reap, request, start } = require('../support');

describe('in a worker of another cluster', () => {
  afterEach(reap);

  it('the process serves by itself, without workers and monitor, and is told so', async () => {
    const [port, monPort] = [await freePort(), await freePort()];
    const program = start('foreign-cluster', { options: { port, monPort, noWorkers: 2, keepAliveGrace: 50 } });
    const lines = await program.lines('serves', 2);
    await program.lines('callback', 2);
    const pids = lines.map(({ args: [pid] }) => pid);
    const answered = new Set();
    await eventually(async () => answered.add(Number((await request(port)).body)).size === 2);
    assert.deepEqual([...answered].sort(), pids.sort());
    await assert.rejects(request(monPort), { code: 'ECONNREFUSED' });
    for (const { args: [code, message] } of await program.lines('process warning', 2)) {
      assert.equal(code, 'CLUSTER2_FOREIGN_CLUSTER');
      assert.match(message, /without workers and without monitor/);
    }
    assert.equal(program.seen('forked').length, 0);

    const busy = await connect(port);
    busy.get('/slow');
    await program.line(({ event, args }) => event === 'request' && args[0] === '/slow');
    program.kill('SIGTERM');
    await busy.until(/connection: close.*\r\n\r\n\d+$/is);
    const left = await program.lines('left', 2);
    for (const { args: [, code, signal] } of left) assert.deepEqual([code, signal], [0, null]);
    await program.exit();
  });
});
