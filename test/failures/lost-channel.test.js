// A worker that can't be reached any more.
'use strict';

const assert = require('node:assert/strict');

const { eventually, reap, request, start } = require('../support');

describe('a worker whose channel ends without notice', function () {
  this.timeout(30000);
  afterEach(reap);

  it('is replaced at once, and killed if it does not end', async () => {
    const program = start('lost-channel', { options: { noWorkers: 1, killTimeout: 500 } });
    await program.line('listening');
    const { args: [port] } = await program.line('port');
    const { body: lost } = await request(port, { path: '/lose' });
    await program.lines('forked', 2);
    await program.lines('listening', 2);
    await eventually(async () => (await request(port)).body !== lost);
    const { args: [pid, { reason }] } = await program.line('died');
    assert.equal(String(pid), lost);
    assert.match(reason, /^its channel ended without notice/);
    assert.equal((await request(port)).status, 200);
  });

  it('learns that its questions for components will have no answer', async () => {
    const program = start('lost-channel', { options: { noWorkers: 1, killTimeout: 500 } });
    const { args: [port] } = await program.line('port');
    await request(port, { path: '/ask' });
    const { args } = await program.line('asked');
    assert.deepEqual(args, ['ERR_CLUSTER2_NOT_RUNNING', 'ERR_CLUSTER2_NOT_RUNNING']);
  });
});
