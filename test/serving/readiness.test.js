// When a worker counts as ready.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { connectTo, eventually, freePort, reap, request, start } = require('../support');

describe('a worker that opens a server of its own before it hands its application over', () => {
  afterEach(reap);

  it('is ready when the application listens, and its port is kept until then', async () => {
    const [port, monPort] = [await freePort(), await freePort()];
    const program = start('early-server', { options: { port, monPort, noWorkers: 1 } });
    await program.line('metrics');
    // The master has heard of the first server by the time it answers.
    await eventually(async () => (await request(monPort, { path: '/status.json' })).body.includes('"starting"'));
    assert.equal((await request(monPort, { path: '/ready' })).status, 503);
    assert.equal(program.seen('listening').length, 0);
    // The port is bound: a client waits in its queue instead of being refused.
    const answer = request(port);
    fs.writeFileSync(path.join(program.cwd, 'now'), '');
    assert.equal((await answer).body, 'app');
    await program.line('listening');
    await eventually(async () => (await request(monPort, { path: '/ready' })).status === 200);
  });

  it('lets the clients of that server finish when it is not wanted any more', async () => {
    const program = start('early-server', { options: { noWorkers: 2 } });
    const [{ pid: first, args: [port] }, { pid: second }] = await program.lines('metrics', 2);
    fs.writeFileSync(path.join(program.cwd, `now-${first}`), '');
    await program.line('listening');
    const client = await connectTo(port, second);
    client.get('/slow');
    program.kill('SIGTTOU');
    await client.until(new RegExp(`\\r\\n\\r\\n${second}$`));
  });
});

describe('a worker that makes a Cluster and serves without it', () => {
  afterEach(reap);

  it('is ready shortly before startTimeout, and a warning says what it has not done', async () => {
    const program = start('serves-beside', { options: { noWorkers: 2, startTimeout: 1500 } });
    for (const { args: [{ message }] } of await program.lines('warning', 2)) {
      assert.match(message, /listens by itself and has not called listen\(\) of its Cluster within 1 s/);
    }
    await program.lines('listening', 2);
    const [{ args: [port] }] = program.seen('port');
    assert.equal((await request(port)).status, 200);
    program.kill();
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.seen('forked').length, 2);
  });
});
