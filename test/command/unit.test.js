// `cluster2 unit`: the unit that it prints for systemd, and that its commands do what systemd is told they do.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { reap, request, start } = require('../support');
const { command } = require('../support/command');
const { directoryOf, portOf, removeDirectories, SERVER } = require('../support/script');

const NO_MONITOR = ['--monitor', 'off', '--workers', '1'];

describe('the unit that cluster2 unit prints', () => {
  afterEach(reap);
  after(removeDirectories);

  async function unitOf(cwd, args, options) {
    const { code, stdout, stderr } = await command(cwd, ['unit', ...args], options);
    assert.equal(code, 0, stderr);
    const lines = stdout.split('\n').filter((line) => /^\w+=/.test(line));
    const settings = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line]));
    return { stdout, stderr, of: (name) => settings[name].slice(name.length + 1) };
  }

  // As systemd takes a command line apart.
  function words(line) {
    const found = [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)];
    const text = ([, inQuotes, bare]) => inQuotes?.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c)) ?? bare;
    return found.map((one) => text(one).replaceAll('%%', '%').replaceAll('$$', '$'));
  }

  it('starts what the same words would start, from wherever, and reloads it', async () => {
    const cwd = directoryOf({ 'app.js': SERVER });
    const odd = '50% "of" $HOME \\ \n;';
    const unit = await unitOf(cwd, [...NO_MONITOR, '--json', '--env', `ODD=${odd}`, 'app.js', 'two words', '$1']);
    assert.equal(unit.of('WorkingDirectory'), cwd);
    const [node, bin, ...args] = words(unit.of('ExecStart'));
    assert.ok(path.isAbsolute(node) && path.isAbsolute(bin));
    const program = start(bin, { cwd, args, node });
    const { addresses } = await program.line('ready');
    const { argv, env, pid } = JSON.parse((await request(portOf(addresses[0]))).body);
    assert.deepEqual([argv.slice(1), env.ODD], [['two words', '$1'], odd]);
    const reload = words(unit.of('ExecReload').replace('$MAINPID', String(program.pid)));
    const { status, stdout, stderr } = spawnSync(reload[0], reload.slice(1), { cwd: os.tmpdir(), encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, new RegExp(`slot 0: ${pid} -> \\d+`));
  });

  it('names the user, and waits as long as a stop may take', async () => {
    const cwd = directoryOf({ 'app.js': SERVER, 'package.json': '{"name": "@our/shop"}' });
    const unit = await unitOf(cwd, ['app.js']);
    const known = ['Type', 'User', 'KillMode', 'TimeoutStopSec', 'Restart', 'WantedBy'].map(unit.of);
    assert.deepEqual(known, ['notify', os.userInfo().username, 'mixed', '30', 'on-failure', 'multi-user.target']);
    assert.match(unit.stderr, /as \/etc\/systemd\/system\/our-shop\.service .* `.* enable --now our-shop`\n$/);
    const more = ['--shutdown-timeout', '60000', '--drain-delay', '5000', '--name', 'api'];
    const longer = await unitOf(cwd, [...more, 'app.js']);
    assert.equal(longer.of('TimeoutStopSec'), '72');
    assert.match(longer.stderr, /\/api\.service/);
  });

  it('follows the directory by the name that the shell has for it', async () => {
    const releases = directoryOf({ 'one/app.js': SERVER });
    const current = path.join(releases, 'current');
    fs.symlinkSync('one', current);
    const { of, stderr } = await unitOf(current, ['app.js'], { env: { ...process.env, PWD: current } });
    assert.equal(of('WorkingDirectory'), current);
    assert.match(of('ExecStart'), new RegExp(` start --cwd ${current} app\\.js$`));
    assert.match(stderr, /is behind a symbolic link: give --pids a directory that does not change with it/);
  });

  it('has no reload and no notification for a script that is a master itself', async () => {
    const cwd = directoryOf({ 'app.js': "require('node:cluster').fork();" });
    assert.doesNotMatch((await unitOf(cwd, ['app.js'])).stdout, /ExecReload|Type=/);
  });

  it('is not printed where start would find a mistake', async () => {
    const cwd = directoryOf({ 'app.js': SERVER });
    for (const [args, problem] of [
      [['nothing.js'], /there is no script/],
      [['--timeout', '-1', 'app.js'], /option `timeout` must be/],
      [['--surprise', 'app.js'], /start has no option '--surprise'/],
      [[], /start needs a script/],
    ]) {
      const { code, stdout, stderr } = await command(cwd, ['unit', ...args]);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, problem);
    }
  });
});
