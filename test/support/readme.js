// The scripts of cluster2's own README, from start to stop, as tests: test/cluster2/readme.test.js runs them with this
// checkout, test/cluster2/migrating.test.js with the package as users install it.
//
// They are run from a directory that has the package in node_modules, as their users have it; only the ports, which are
// fixed there, are exchanged for free ones. `test/apps/readme/` has them as they are printed but for the package's
// name.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { connect, freePort, refused, request } = require('./client');
const { makeDirectory, reap, start } = require('./program');
const { eventually } = require('./wait');

const SCRIPTS = path.join(__dirname, '..', 'apps', 'readme');
const MODULES = path.join(__dirname, '..', '..', 'node_modules');

/** Describes them under `title`; `install(cwd)` gives the directory node_modules with a package `name`. */
function describeReadme(title, name, install) {
  describe(title, () => {
    let cwd;
    let port;
    let monPort;
    beforeEach(async () => {
      cwd = makeDirectory();
      install(cwd);
      [port, monPort] = [await freePort(), await freePort()];
    });
    afterEach(reap);
    afterEach(() => fs.rmSync(cwd, { recursive: true, force: true }));

    function run(file) {
      const printed = fs.readFileSync(path.join(SCRIPTS, file), 'utf8');
      const ports = `port: ${port}, monPort: ${monPort}`;
      const text = printed.replace("'cluster2-rs'", `'${name}'`).replace('port: 3000', ports);
      const script = path.join(cwd, file);
      fs.writeFileSync(script, text);
      return start(script, { cwd, env: { NODE_PATH: MODULES } });
    }

    // Its answer over HTTP, or the first thing that it says, once it serves.
    const answers = (ask) => eventually(() => ask().catch(() => undefined));
    const overHttp = async () => (await request(port)).body;

    async function shutDown(program) {
      assert.deepEqual(await run('shutdown.js').exit(), { code: 0, signal: null });
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.deepEqual(program.files('pids'), []);
    }

    async function stop(program) {
      const stopper = run('stop.js');
      assert.deepEqual(await stopper.exit(), { code: 0, signal: null });
      assert.deepEqual(await program.exit(), { code: null, signal: 'SIGKILL' });
      await program.gone({ within: 1000 });
      assert.deepEqual(program.files('pids'), []);
    }

    for (const [end, how] of [[stop, 'stop.js'], [shutDown, 'shutdown.js']]) {
      it(`for a TCP server says hello, echoes, and is ended by ${how}`, async () => {
        const program = run('tcp-server.js');
        const connection = await answers(() => connect(port));
        await connection.send('echo').until(/^hello\r\necho$/);
        connection.close();
        await program.line(/^server disconnected$/).catch(() => {});
        await end(program);
      });

      it(`for an HTTP server says hello and is ended by ${how}`, async () => {
        const program = run('http-server.js');
        assert.equal(await answers(overHttp), 'hello');
        await end(program);
        assert.equal(program.stderr, '');
      });
    }

    it('for an express server says hello', async () => {
      const program = run('express-server.js');
      assert.equal(await answers(overHttp), 'hello');
      await shutDown(program);
      assert.equal(program.stderr, '');
    });

    it('for a graceful shutdown says hello until then', async () => {
      const program = run('graceful-server.js');
      assert.equal(await answers(overHttp), 'hello');
      const open = await connect(port);
      await open.get('/').until(/hello\r\n0\r\n\r\n$/);
      const ender = run('shutdown.js');
      await refused(port);
      open.get('/');
      await open.ended();
      assert.deepEqual(await ender.exit(), { code: 0, signal: null });
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.equal(program.stderr, '');
    });

    it('that logs events logs each fork, the signal and each death', async () => {
      const program = run('events-server.js');
      assert.equal(await answers(overHttp), 'hello');
      await shutDown(program);
      const named = (pattern) => program.seen(pattern).map(({ text }) => /\d+/.exec(text)[0]).sort();
      const forked = named(/^Worker \d+ forked$/);
      assert.ok(forked.length > 0);
      assert.deepEqual(named(/^Worker \d+ died$/), forked);
      assert.ok(program.seen(/^Got SIGTERM - shutting down$/).length > 0);
      assert.equal(program.seen(/^Got SIG(INT|KILL)$/).length, 0);
    });
  });
}

module.exports = { describeReadme };
