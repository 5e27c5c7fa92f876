// Warnings that the application does not listen for: printed by the master, once of each kind.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');

const { eventually, freePort, ready, reap, request, start } = require('../support');

describe('warnings that nobody listens for', function () {
  this.timeout(30000);
  afterEach(reap);

  it('are printed once of each kind: a worker that fails at its start', async () => {
    const program = start('api-shapes', { args: ['exitsInWorker'], options: { noWorkers: 1 }, env: { DEAF: '1' } });
    const printed = () => program.stderr.match(/^cluster2: slot 0: \d+ deaths in a row, the next start waits/gm) ?? [];
    await eventually(() => printed().length > 0);
    await program.lines('died', 5);
    assert.equal(printed().length, 1, program.stderr);
    program.kill();
    await program.exit();
  });

  it('are printed without workers as well', async () => {
    const options = { cluster: false, port: await freePort(), timeout: 50 };
    const program = start('api-shapes', { args: ['idle'], options, env: { DEAF: '1' } });
    await eventually(() => request(options.port).catch(() => undefined));
    for (let round = 0; round < 2; round += 1) await request(options.port, { path: '/never' }).catch(() => {});
    assert.equal(program.stderr, 'cluster2: Client socket timed out\n');
  });

  it('are left to a listener where there is one', async () => {
    const program = start('api-shapes', { args: ['exitsInWorker'], options: { noWorkers: 1 } });
    await program.lines('warning', 3);
    assert.equal(program.stderr, '');
    program.kill();
    await program.exit();
  });

  it('are not printed by workers, whose clients may be idle', async () => {
    const options = { noWorkers: 1, timeout: 50 };
    const program = await ready(start('api-shapes', { args: ['idle'], options, env: { DEAF: '1' } }), 1);
    await request(program.port, { path: '/never' }).catch(() => {});
    assert.equal(program.stderr, '');
  });
});

describe('a script that nodemon has started', function () {
  this.timeout(30000);
  afterEach(reap);

  it('is told once that SIGUSR2 leaves its master as it is', async () => {
    const args = [path.join(__dirname, '../apps/api-cluster.js')];
    const program = await ready(start('nodemon', { args, options: { noWorkers: 1, keepAliveGrace: 50 } }), 1);
    for (let reload = 1; reload <= 2; reload += 1) {
      program.kill('SIGUSR2');
      await program.lines('died', reload);
    }
    assert.equal((await request(program.port)).body, 'hello');
    const warnings = program.seen('warning').map(({ args: [{ message }] }) => message);
    assert.equal(warnings.length, 1, `${warnings}`);
    assert.match(warnings[0], /nodemon --signal SIGTERM/);
    program.kill('SIGTERM');
    assert.equal((await program.exit()).code, 0);
  });
});
