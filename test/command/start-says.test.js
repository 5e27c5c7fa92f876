// What `cluster2 start` says, to people and to machines; workers that keep crashing; mistakes of its arguments.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');

const { eventually, reap, request } = require('../support');
const { command } = require('../support/command');
const { directoryOf, removeDirectories, SERVER, servingScript, startScript } = require('../support/script');

describe('what cluster2 start says', () => {
  afterEach(reap);
  after(removeDirectories);

  it('is what runs and where, how to look, reload and stop; then one line for each change', async () => {
    const args = ['--workers', '2', '--monitor', '127.0.0.1:23011', '--name', 'shop', 'app.js', 'x'];
    const program = startScript({ 'app.js': SERVER }, args);
    const { text } = await program.line(/workers serve/);
    const port = /2 workers serve on 127\.0\.0\.1:(\d+), after \d/.exec(text)[1];
    await request(Number(port));
    const { version } = require('../../package.json');
    await program.line(new RegExp(`^cluster2: ${version} runs app\\.js x 'shop' in 2 workers; .* ${program.pid}$`));
    await program.line(/^ {2}monitor {2}http:\/\/127\.0\.0\.1:23011\/$/);
    await program.line(/^ {2}look +npx cluster2-rs status, npx cluster2-rs top$/);
    await program.line(/^ {2}reload +npx cluster2-rs reload --wait$/);
    await program.line(/^ {2}stop +Ctrl-C, or npx cluster2-rs shutdown$/);
    const { stdout } = await command(program.cwd, ['status']);
    assert.match(stdout, new RegExp(`^master ${program.pid} 'shop': serving, `));
    const [, first] = /^ +1 +0 +(\d+) +serving/m.exec(stdout);
    process.kill(Number(first), 'SIGKILL');
    await program.line(new RegExp(`^cluster2: worker 1 \\(${first}\\) is gone: killed by SIGKILL`));
    await program.line(/^cluster2: worker 3 \(\d+\) serves, after /);
    program.kill('SIGINT');
    await program.line(/^cluster2: SIGINT: no new connection gets in/);
    await program.exit();
    assert.match(program.stdout, /^cluster2: ended with exit status 0$/m);
  });

  // Node 18 takes an abstract name for an empty path.
  if (parseInt(process.versions.node, 10) > 18) {
    it('is an abstract name as status says it', async () => {
      const app = `
        const server = require('node:http').createServer((request, response) => response.end());
        server.listen('\\0' + process.env.CLUSTER2_TEST_ID);`;
      const program = await servingScript({ 'app.js': app }, ['--workers', '2', 'app.js']);
      const [address] = program.ready.addresses;
      assert.match(address, /^'\\x00[0-9a-f-]{36}'$/);
      const { stdout } = await command(program.cwd, ['status']);
      assert.ok(stdout.includes(`\nlistens on ${address}\n`), stdout);
    });
  }

  it('is nothing with --quiet, as long as nothing is wrong', async () => {
    const program = startScript({ 'app.js': `${SERVER}; server.on('listening', () => console.log('listening'));` },
      ['--workers', '1', '--quiet', 'app.js']);
    await program.line(/^listening$/);
    await eventually(async () => (await command(program.cwd, ['status'])).code === 0);
    program.kill();
    await program.exit();
    assert.deepEqual([program.stdout, program.stderr], ['listening\n', '']);
  });

  it('is JSON with --json, an object a line, with the same ids', async () => {
    const program = await servingScript({ 'app.js': SERVER }, ['--workers', '2', 'app.js']);
    const [started] = program.seen('started');
    assert.deepEqual([started.pid, started.script, started.workers], [program.pid, 'app.js', 2]);
    const [{ workers }] = JSON.parse((await command(program.cwd, ['status', '--json'])).stdout);
    const ids = (all, key) => all.map((one) => [one[key], one.pid]).sort();
    assert.deepEqual(ids(program.seen('serving'), 'worker'), ids(workers, 'id'));
  });

  it('names another port for the monitor where the usual one is busy', async () => {
    const holder = net.createServer();
    await new Promise((resolve) => {
      // Where somebody else holds it, it is as busy.
      holder.once('error', resolve).listen(3001, '127.0.0.1', resolve);
    });
    try {
      const program = await servingScript({ 'app.js': SERVER }, ['--workers', '1', 'app.js'], { hasMonitor: true });
      const [{ monitor }] = program.seen('started');
      const [, port] = /^http:\/\/127\.0\.0\.1:(\d+)\/$/.exec(monitor);
      assert.notEqual(port, '3001');
      assert.equal((await request(Number(port), { path: '/live' })).status, 200);
    } finally {
      holder.close();
    }
  });

  it('of workers that keep crashing is one line with the reason; status and the page say crashing', async () => {
    const app = "throw new Error('no database');";
    const program = startScript({ 'app.js': app }, ['--workers', '2', '--monitor', '127.0.0.1:23012', 'app.js']);
    await eventually(() => /keep crashing/.test(program.stderr));
    const lines = program.stderr.split('\n').filter((line) => line.startsWith('cluster2: '));
    assert.match(lines[0], /^cluster2: slots? [01, ]+ keeps? crashing \(\d+ deaths in a row\): exit code 1: Error: no /);
    assert.match(lines[0], /: no database; next try in [\d.]+ m?s$/);
    assert.equal(program.seen(/ (is|are) gone: /).length, 1, program.stdout);
    const { code, stdout } = await eventually(async () => {
      const result = await command(program.cwd, ['status']);
      return /: crashing, /.test(result.stdout) && /^ +- +[01] +- +crashing/m.test(result.stdout) && result;
    });
    assert.equal(code, 1);
    assert.match(stdout, /slots 0, 1 are crashing, \d+ deaths in a row: exit code 1: Error: no database; /);
    const page = await request(23012);
    assert.match(page.body, />crashing<.*is crashing \(\d+ deaths in a row\): exit code 1: Error: no database; /s);
    const status = JSON.parse((await request(23012, { path: '/status.json' })).body);
    assert.deepEqual(status.crashing.map(({ slot }) => slot), [0, 1]);
  });

  it('is the address that was really bound, as status says it', async () => {
    for (const listen of ['server.listen(0)', "server.listen(0, '0.0.0.0')", "server.listen(0, '127.0.0.1')"]) {
      const program = startScript({ 'app.js': `const server = require('node:http').createServer(); ${listen};` },
        ['--workers', '1', 'app.js']);
      const { text } = await program.line(/1 worker serves on /);
      const [, address] = /serves on (\S+), after/.exec(text);
      const [, listens] = (await command(program.cwd, ['status'])).stdout.split('\n');
      assert.equal(listens, `listens on ${address}`);
    }
  });

  it('names options of its own that stand behind the script, which gets them', async () => {
    const words = ['app.js', '--workers=2', '-i', 'max', '-i', 'x'];
    const program = startScript({ 'app.js': SERVER }, ['--workers', '1', ...words]);
    await program.line(/1 worker serves on /);
    const said = program.stderr.split('\n').filter(Boolean);
    const advice = 'what is meant for `start` comes before the script';
    assert.deepEqual(said, ['--workers', '-i'].map((flag) => {
      return `cluster2: ${flag} stands behind app.js, which gets it: ${advice}`;
    }));
  });

  it('of a mistake names the option, its rule and its value, and exits with 2', async () => {
    const cwd = directoryOf({
      'app.js': SERVER,
      'app.sh': '#!/bin/sh\necho no\n',
      'empty/none.txt': '',
      'never.config.js': 'module.exports = new Promise(() => {});',
      'number.config.js': 'module.exports = { script: 5 };',
    });
    for (const [args, problem] of [
      [['--nope', 'app.js'], /start has no option '--nope'/],
      [['--workers'], /--workers needs a value/],
      [['-i', '4', 'app.js'], /start has no option '-i': what PM2 calls so is --workers here/],
      [['--workers', '0.5', 'app.js'], /option `noWorkers` must be a whole number from 1 to 1024, got '0\.5'/],
      [['--port', '80', 'app.js'], /option `port` must not be given together with `exec`: .*env: \{PORT: 8080\}/],
      [['--monitor', 'x:y', 'app.js'], /--monitor takes \[HOST:\]PORT or off, got 'x:y'/],
      [['--env', '=x', 'app.js'], /--env takes NAME=VALUE/],
      [['--memory-threshold', 'much', 'app.js'], /option `memoryThreshold` must be a number of bytes/],
      [['none.js'], /option `exec` must name a script for Node, got 'none\.js': there is no script .*\/none\.js/],
      [['app.sh'], /option `exec` must name a script for Node, got 'app\.sh': .*app\.sh begins with '#!\/bin\/sh'/],
      [[''], /option `exec` must name a script for Node, got '': a path is a text/],
      [['empty'], /option `exec` must name a script for Node, got 'empty': .*empty has no index\.js/],
      [['/dev/null'], /option `exec` must .* got '\/dev\/null': \/dev\/null is neither a file nor a directory/],
      [['--cwd', 'none', 'app.js'], /option `cwd` must be a directory that is there, got '.*none'/],
      [['--cwd', 'app.sh', 'app.js'], /option `cwd` must be a directory that is there, got '.*app\.sh'/],
      [['--config', 'never.config.js'], /the configuration never\.config\.js gives a promise that nothing settles/],
      [['--config', 'number.config.js'], /option `exec` must name a script for Node, got 5: a path is a text/],
      [['--log', 'none/app.log', 'app.js'], /cannot append to the log .*\/none\/app\.log/],
    ]) {
      const { code, stderr } = await command(cwd, ['start', ...args]);
      assert.match(stderr, problem);
      assert.match(stderr, /^cluster2: [^\n]+\n$/);
      assert.equal(code, args[0] === '--log' ? 1 : 2);
    }
  });
});
