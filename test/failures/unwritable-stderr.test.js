// A stderr that can't be written, since its disk is full or its reader is gone: what is said is lost, and nothing else.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');

const { died, freePort, ready, reap, request, start } = require('../support');
const { directoryOf, removeDirectories, SERVER, startScript } = require('../support/script');

// Loaded before everything else in master and workers: puts something in the place of stderr.
const LOST = {
  'on a full disk': "fs.closeSync(2); fs.openSync('/dev/full', 'w');",
  'whose reader is gone': `
    if (!process.env.CLUSTER2_MASTER) {
      fs.closeSync(2);
      const [reader, writer] = [fs.openSync('fifo', 'r+'), fs.openSync('fifo', 'w')];
      fs.closeSync(reader);
    }`,
};

describe('a stderr that cannot be written', function () {
  this.timeout(60_000);
  afterEach(reap);
  after(removeDirectories);

  for (const [where, code] of Object.entries(LOST)) {
    function lostStderr(files) {
      const cwd = directoryOf({ ...files, 'lose.js': `const fs = require('node:fs'); ${code}` });
      if (code.includes('fifo')) execFileSync('mkfifo', ['fifo'], { cwd });
      return { cwd, execArgv: ['--require', `${cwd}/lose.js`] };
    }

    it(`(${where}) costs the master its warnings alone`, async () => {
      const { cwd, execArgv } = lostStderr({});
      const env = { DEAF: '1' };
      const program = start('api-shapes', { cwd, execArgv, args: ['exitsInWorker'], options: { noWorkers: 1 }, env });
      await program.lines('died', 6);
      assert.ok(program.isRunning);
      program.kill();
      assert.equal((await program.exit()).code, 0);
    });

    it(`(${where}) costs cluster2 start what it says there alone`, async () => {
      const app = `console.log('begins'); if (process.env.CLUSTER2_INSTANCE === '1') process.exit(1);\n${SERVER}`;
      const { cwd, execArgv } = lostStderr({ 'app.js': app });
      const env = { PORT: String(await freePort()) };
      const program = startScript(cwd, ['--workers', '2', 'app.js'], { execArgv, env });
      await program.lines(/^begins$/, 7);
      assert.equal((await request(Number(env.PORT))).status, 200);
      program.kill();
      assert.equal((await program.exit()).code, 0);
    });

    it(`(${where}) lets a worker go on after an exception, at rest`, async () => {
      const { cwd, execArgv } = lostStderr({});
      const options = { noWorkers: 1, onUncaughtException: 'continue' };
      const program = await ready(start('exceptions', { cwd, execArgv, options }), 1);
      await request(program.port, { path: '/error' });
      await program.line('warning');
      const { body } = await request(program.port, { path: '/pid' });
      assert.equal(body, String(program.workers[0]));
      assert.equal(program.seen('warning').length, 1);
    });
  }

  it('lets a worker that is replaced for an exception go', async () => {
    const cwd = directoryOf({ 'lose.js': `const fs = require('node:fs'); ${LOST['on a full disk']}` });
    const execArgv = ['--require', `${cwd}/lose.js`];
    const options = { noWorkers: 1, keepAliveGrace: 50 };
    const program = await ready(start('exceptions', { cwd, execArgv, options }), 1);
    await request(program.port, { path: '/error' });
    const { code } = await died(program, program.workers[0]);
    assert.equal(code, 0);
  });
});
