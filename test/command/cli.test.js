// The command `cluster2`: what it does, says and exits with, with a cluster, with several, and with none.
'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const {
  eventually, freePort, isRefused, makeDirectory, PACKAGE, reap, ready, refused, request, start, startCluster, underWay,
} = require('../support');
const { ask, askAndLeave } = require('../support/control');
const { command } = require('../support/command');
const { BIN } = require('../support/script');
const { COMMANDS, COMMON } = require('../../lib/cli/usage');

const CLIENTS = { scale: ['2'], recycle: ['1'] };
// Those that speak with a master.
const asking = Object.keys(COMMANDS).filter((name) => !COMMANDS[name].rest);
const clients = asking.map((name) => [name, ...CLIENTS[name] ?? []]);

async function succeeds(cwd, ...args) {
  const result = await command(cwd, args);
  assert.deepEqual({ code: result.code, stderr: result.stderr }, { code: 0, stderr: '' });
  return result.stdout;
}

async function fails(code, cwd, ...args) {
  const result = await command(cwd, args);
  assert.equal(result.code, code, JSON.stringify(result));
  assert.match(result.stderr, /^cluster2: .+\n$/);
  return result.stderr;
}

describe('the command cluster2', () => {
  const directories = [];
  const newDirectory = () => directories[directories.push(makeDirectory()) - 1];
  afterEach(reap);
  after(() => {
    for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
  });

  it('status says what the cluster does, and with --json what /status.json says', async () => {
    const monPort = await freePort();
    const program = await startCluster({ monPort, monHost: '127.0.0.1' });
    const text = await succeeds(program.cwd, 'status');
    assert.match(text, new RegExp(`^master ${program.pid}: serving, 2 of 2 workers serve, in rotation, up `));
    assert.match(text, new RegExp(`^listens on 127\\.0\\.0\\.1:${program.port}$`, 'm'));
    for (const pid of program.workers) assert.match(text, new RegExp(`^ +[12] +[01] +${pid} +serving +\\d+ s`, 'm'));
    const [byCommand] = JSON.parse(await succeeds(program.cwd, 'status', '--json'));
    const byMonitor = JSON.parse((await request(monPort, { path: '/status.json' })).body);
    assert.deepEqual(Object.keys(byCommand), Object.keys(byMonitor));
    for (const key of ['pid', 'started', 'addresses', 'options']) assert.deepEqual(byCommand[key], byMonitor[key]);
    assert.deepEqual(byCommand.workers.map(lasting), byMonitor.workers.map(lasting));
  });

  it('status fails while nobody serves', async () => {
    const program = start('reload', { options: { noWorkers: 1 }, env: { RELEASE: 'never listens' } });
    await program.line('forked');
    const { code, stdout } = await command(program.cwd, ['status']);
    assert.equal(code, 1);
    assert.match(stdout, /: starting, 0 of 1 worker serves,/);
  });

  for (const args of clients) {
    it(`${args[0]} exits with 3 and says so where nothing runs`, async () => {
      const cwd = newDirectory();
      assert.match(await fails(3, cwd, ...args), /nothing runs: there is no directory .*\/pids/);
      fs.mkdirSync(path.join(cwd, 'pids'));
      fs.writeFileSync(path.join(cwd, 'pids', 'notes.txt'), 'not a master');
      assert.match(await fails(3, cwd, ...args), /nothing runs: there is no master in .*\/pids/);
    });
  }

  it('names the masters that are gone where only their files are left', async () => {
    const program = await startCluster({ noWorkers: 1 });
    program.kill('SIGKILL');
    await program.exit();
    const problem = await fails(3, program.cwd, 'status');
    assert.match(problem, new RegExp(`only files of masters that are gone \\(${program.pid}\\)`));
    assert.match(await fails(3, program.cwd, 'stop'), /nothing runs/);
  });

  it('stop ends the cluster at once, whatever its workers do, and returns when it has gone', async () => {
    const program = await startCluster();
    await underWay(program, program.workers[0], '/block?');
    assert.equal(await succeeds(program.cwd, 'stop'), `master ${program.pid}: stopped\n`);
    assert.deepEqual(await program.exit(), { code: null, signal: 'SIGKILL' });
    assert.deepEqual(program.files('pids'), []);
  });

  it('stop ends a master that does not answer', async () => {
    const program = await startCluster({ noWorkers: 1 });
    process.kill(program.pid, 'SIGSTOP');
    assert.match(await fails(1, program.cwd, 'status', '--timeout', '0.2'), /does not answer: it took too long/);
    const said = await succeeds(program.cwd, 'stop', '--timeout', '0.2');
    assert.equal(said, `master ${program.pid}: it did not answer, it was killed\n`);
    assert.deepEqual(await program.exit(), { code: null, signal: 'SIGKILL' });
  });

  it('is answered however many have asked for a reload that does not end and have gone', async () => {
    const program = start('reload', { options: { noWorkers: 1, startTimeout: 60_000 } });
    await ready(program, 1);
    fs.writeFileSync(path.join(program.cwd, 'release'), 'never listens');
    for (let asked = 0; asked < 64; asked += 1) await askAndLeave(program, 'reload');
    await succeeds(program.cwd, 'status', '--timeout', '1');
    assert.equal(await succeeds(program.cwd, 'stop'), `master ${program.pid}: stopped\n`);
  });

  it('shutdown returns when nothing new gets in', async () => {
    const program = await startCluster({ keepAliveGrace: 50 });
    const busy = await underWay(program, program.workers[0], '/hold');
    const said = await succeeds(program.cwd, 'shutdown');
    assert.equal(said, `master ${program.pid}: shutting down, no new connection gets in\n`);
    assert.ok(await isRefused(program.port));
    process.kill(program.workers[0], 'SIGUSR2');
    await busy.until(/\r\n\r\nheld$/);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('shutdown --wait returns when the last request is answered and the master has gone', async () => {
    const program = await startCluster({ keepAliveGrace: 50 });
    const busy = await underWay(program, program.workers[0], '/hold');
    const waiting = succeeds(program.cwd, 'shutdown', '--wait');
    await refused(program.port);
    assert.ok(program.isRunning);
    process.kill(program.workers[0], 'SIGUSR2');
    await busy.until(/\r\n\r\nheld$/);
    assert.equal(await waiting, `master ${program.pid}: shut down\n`);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('reload --wait tells who took whose place, and how long it took', async () => {
    const program = await ready(start('reload', { options: { noWorkers: 2, keepAliveGrace: 50 } }));
    const lines = (await succeeds(program.cwd, 'reload', '--wait', '--env', 'EXTRA=a=b')).trimEnd().split('\n');
    assert.match(lines.shift(), new RegExp(`^master ${program.pid}: reloaded 2 workers in `));
    const row = /^ {2}slot (\d): (\d+) -> (\d+), listened after \d/;
    const replaced = lines.map((line) => row.exec(line).slice(1).map(Number));
    assert.deepEqual(replaced.map(([slot]) => slot), [0, 1]);
    assert.deepEqual(replaced.map(([, old]) => old).sort(), [...program.workers].sort());
    const { pid, extra } = JSON.parse((await request(program.port, { path: '/facts' })).body);
    assert.ok(replaced.some(([, , young]) => young === pid));
    assert.equal(extra, 'a=b');
  });

  it('reload --wait fails with the reason when the new release does', async () => {
    const program = await ready(start('reload', { options: { noWorkers: 1 } }), 1);
    fs.writeFileSync(path.join(program.cwd, 'release'), 'exits');
    const thrown = await fails(1, program.cwd, 'reload', '--wait');
    const reason = 'a new worker failed \\(exit code 0\\); the old workers serve on';
    assert.match(thrown, new RegExp(`^cluster2: master ${program.pid}: .*${reason}\n$`));
    assert.equal((await request(program.port)).body, 'none');
    assert.match(await fails(1, program.cwd, 'reload', '--strategy', 'none'), /reload\.strategy/);
  });

  const said = { 'reload --wait': /: reloaded 1 worker in /, 'reload': /: reload begun/ };
  for (const [words, first] of Object.entries(said)) {
    it(`${words} says that nothing was looked up where the event loop of the master was blocked`, async () => {
      const options = { noWorkers: 1, keepAliveGrace: 50 };
      const program = await startCluster(options, { env: { BLOCK_MS: 6000 } });
      await request(program.port, { path: '/call?block' });
      await program.line('blocked');
      const [head, stale] = (await succeeds(program.cwd, ...words.split(' '))).split('\n');
      assert.match(head, first);
      assert.match(stale, /^ {2}its event loop was blocked: script, directory and environment were not looked up again/);
    });
  }

  it('reload without --wait fails where the master can look nothing up', async () => {
    const cwd = newDirectory();
    fs.mkdirSync(path.join(cwd, 'release'));
    const program = await startCluster({ noWorkers: 1, cwd: path.join(cwd, 'release') });
    fs.rmdirSync(path.join(cwd, 'release'));
    assert.match(await fails(1, program.cwd, 'reload'), /ENOENT/);
  });

  it('reload without --wait returns when it has begun', async () => {
    const program = await startCluster({ noWorkers: 1, recycleTimeout: 60_000 });
    const busy = await underWay(program, program.workers[0], '/hold');
    assert.equal(await succeeds(program.cwd, 'reload'), `master ${program.pid}: reload begun\n`);
    await program.lines('listening', 2);
    process.kill(program.workers[0], 'SIGUSR2');
    await busy.until(/\r\n\r\nheld$/);
  });

  it('scale sets the number of workers, or changes it', async () => {
    const program = await startCluster({ noWorkers: 1 });
    assert.equal(await succeeds(program.cwd, 'scale', '3'), `master ${program.pid}: 3 workers wanted\n`);
    assert.match(await succeeds(program.cwd, 'scale', '-2'), /: 1 worker wanted\n$/);
    assert.match(await succeeds(program.cwd, 'scale', '+1'), /: 2 workers wanted\n$/);
    await eventually(async () => (await ask(program, 'status')).serving === 2);
    assert.match(await fails(1, program.cwd, 'scale', '0'), /scale/);
  });

  it('disable and enable take the cluster out of rotation and back', async () => {
    const program = await startCluster({ noWorkers: 1 });
    assert.match(await succeeds(program.cwd, 'disable', '--reason', 'new\x1b[2J disk'), /: out of rotation\n$/);
    assert.equal((await request(program.port, { path: '/ecv' })).status, 400);
    assert.match(await succeeds(program.cwd, 'status'), /, out of rotation by the control socket \('new\\x1B\[2J disk'\),/);
    assert.match(await succeeds(program.cwd, 'enable'), /: in rotation\n$/);
    assert.equal((await request(program.port, { path: '/ecv' })).status, 200);
  });

  it('acts on every master of the directory, or on the one that --pid names', async () => {
    const cwd = newDirectory();
    const clusters = [await startCluster({ noWorkers: 1 }, { cwd }), await startCluster({ noWorkers: 1 }, { cwd })];
    const [one, two] = clusters.map(({ pid }) => pid);
    const list = JSON.parse(await succeeds(cwd, 'status', '--json'));
    assert.deepEqual(list.map(({ pid }) => pid), [one, two].sort((first, second) => first - second));
    assert.match(await fails(2, cwd, 'scale', '2'), /several clusters run in .*: say which one with --pid/);
    assert.match(await fails(3, cwd, 'scale', '2', '--pid', '1'), /no master 1 runs in .*; there is \d+, \d+/);
    assert.match(await succeeds(cwd, 'scale', '2', '--pid', String(two)), new RegExp(`^master ${two}: 2 workers`));
    assert.match(await succeeds(cwd, 'disable', `--pid=${two}`), new RegExp(`^master ${two}: out of rotation\n$`));
    assert.match(await succeeds(cwd, 'stop', '--pid', String(one)), new RegExp(`^master ${one}: stopped\n$`));
    assert.match(await succeeds(cwd, 'shutdown', '--wait'), new RegExp(`^master ${two}: shut down\n$`));
    await Promise.all(clusters.map((program) => program.exit()));
  });

  it('finds the directory that --pids names, however long its name is', async () => {
    const pids = path.join('long'.repeat(40), 'longer'.repeat(30), 'pids');
    const program = await startCluster({ noWorkers: 1, pids });
    await fails(3, program.cwd, 'status');
    assert.match(await succeeds(program.cwd, 'status', '--pids', pids), / 1 of 1 worker serves/);
    assert.match(await succeeds('/', 'stop', '--pids', path.join(program.cwd, pids)), /: stopped\n$/);
  });

  it("exits with 4 where the cluster is another user's", async function () {
    if (process.getuid() !== 0) this.skip();
    const program = await startCluster({ noWorkers: 1 });
    // A copy, since the checkout may be where that user can't read; and no more than the command needs.
    const home = newDirectory();
    for (const part of ['bin', 'lib/cli', 'lib/shared', 'package.json']) {
      fs.cpSync(path.join(PACKAGE, part), path.join(home, part), { recursive: true });
    }
    for (const each of [home, program.cwd]) fs.chmodSync(each, 0o755);
    await Promise.all(clients.map(async (args) => {
      const { code, stderr } = await command(program.cwd, args, { home, uid: 65534, gid: 65534 });
      assert.equal(code, 4, stderr);
      assert.match(stderr, new RegExp(`^cluster2: master ${program.pid} is another user's`));
    }));
    assert.equal((await ask(program, 'status')).serving, 1);
  });

  it('fails when what it says cannot be written, unless its reader has seen enough', async () => {
    const node = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
    const run = (line) => {
      const options = { encoding: 'utf8', env: { ...process.env, NODE: node, BIN } };
      return spawnSync('bash', ['-c', line], options);
    };
    const full = run('"$NODE" "$BIN" --help > /dev/full');
    assert.deepEqual([full.status, full.stderr.split(':', 2).join(':')], [1, 'cluster2: cannot write to stdout']);
    assert.equal(run('"$NODE" "$BIN" --help > >(true)').status, 0);
  });

  it('top shows the table again and again, as plain text where stdout is no terminal', async () => {
    const program = await startCluster({ noWorkers: 1 });
    const text = await succeeds(program.cwd, 'top', '--count', '3', '--interval', '0.1');
    assert.equal(text.match(new RegExp(`^master ${program.pid}: serving`, 'gm')).length, 3);
    assert.match(text, /^WORKER +SLOT +PID +STATE +AGE +REQ\/S .* CONN +P50 +P99 +LAG +LOOP +CPU +RSS +HEAP$/m);
    assert.match(text, new RegExp(`^ +1 +0 +${program.workers[0]} +serving .* [1-9]\\d* MB +[1-9]\\d* MB$`, 'm'));
    assert.match(text, /^\d\d:\d\d:\d\d {2}listening: worker 1$/m);
    assert.ok(!text.includes('\x1b'));
  });

  it('top has the terminal to itself until q', async function () {
    if (spawnSync('script', ['--version']).status !== 0) this.skip();
    const program = await startCluster({ noWorkers: 1 });
    const line = `${process.execPath} ${path.join(PACKAGE, 'bin/cluster2.js')} top --interval 0.1`;
    const terminal = spawn('script', ['-qefc', line, '/dev/null'], { cwd: program.cwd });
    let screen = '';
    terminal.stdout.setEncoding('utf8').on('data', (text) => { screen += text; });
    const ended = new Promise((resolve) => { terminal.once('close', resolve); });
    await eventually(() => screen.split('\x1b[H').length > 2);
    assert.match(screen, new RegExp(`master ${program.pid}: serving`));
    terminal.stdin.write('q');
    assert.equal(await ended, 0);
    assert.ok(screen.startsWith('\x1b[?1049h\x1b[?25l'));
    assert.ok(screen.trimEnd().endsWith('\x1b[?25h\x1b[?1049l'));
  });

  it('start runs a script as node would, in its own process', async () => {
    const bin = path.join(PACKAGE, 'bin/cluster2.js');
    const program = await ready(start(bin, { args: ['start', path.join(PACKAGE, 'test/apps/api-cluster.js')] }));
    assert.deepEqual(program.files('pids').filter((name) => name.startsWith('master.') && name.endsWith('.pid')),
      [`master.${program.pid}.pid`]);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('start says in one line that the addon is missing, and what to do', async () => {
    const home = newDirectory();
    for (const part of ['bin', 'lib', 'package.json']) {
      fs.cpSync(path.join(PACKAGE, part), path.join(home, part), { recursive: true });
    }
    fs.writeFileSync(path.join(home, 'app.js'), '');
    const { code, stderr } = await command(home, ['start', 'app.js'], { home });
    assert.match(stderr, /^cluster2: the native addon for .* is missing: .* `pnpm approve-builds`.*install\.js`\n$/);
    assert.equal(code, 1);
  });

  it('start says what is wrong with its script', async () => {
    const cwd = newDirectory();
    assert.match(await fails(2, cwd, 'start'), /start needs a script/);
    assert.match(await fails(2, cwd, 'start', 'none.js'), /there is no script .*none\.js/);
  });

  it('exits with 2 and names what it does not understand', async () => {
    const cwd = newDirectory();
    await Promise.all([
      [[], /say what to do/],
      [['restart'], /no command 'restart': what PM2 calls so is `npx cluster2-rs reload` here; see `npx cluster2-rs --help`/],
      [['go'], /no command 'go'; see/],
      [['status', '--jsn'], /status has no option '--jsn'/],
      [['stop', 'now'], /stop does not take 'now'/],
      [['scale'], /scale needs <N>/],
      [['scale', 'many'], /scale takes a number, got 'many'/],
      [['status', '--pid', 'x'], /--pid takes a number/],
      [['status', '--pids'], /--pids needs a value: DIR/],
      [['reload', '--env', 'X'], /--env takes NAME=VALUE/],
      [['status', '--json=1'], /--json takes no value/],
    ].map(async ([args, problem]) => assert.match(await fails(2, cwd, ...args), problem)));
  });

  it('prints its version and, with --help, every command and option; docs/cli.md lists the same', async () => {
    const cwd = newDirectory();
    assert.equal(await succeeds(cwd, '--version'), `${require('../../package.json').version}\n`);
    const overview = await succeeds(cwd, '--help');
    const book = fs.readFileSync(path.join(__dirname, '../../docs/cli.md'), 'utf8');
    for (const [name, { operands, text, options = {} }] of Object.entries(COMMANDS)) {
      assert.ok(overview.includes(text));
      assert.ok(book.includes(`| \`${name}${operands ? ` ${operands}` : ''}\` | ${text} |`), name);
      const details = await succeeds(cwd, name, '--help');
      for (const [option, { value, text: meaning }] of Object.entries(options)) {
        assert.ok(details.includes(`--${option}`) && details.includes(meaning));
        assert.ok(book.includes(`| \`--${option}${value ? ` ${value}` : ''}\` | \`${name}\` | ${meaning} |`), option);
      }
    }
    for (const [option, { value, text }] of Object.entries(COMMON)) {
      assert.ok(overview.includes(`--${option}`));
      assert.ok(book.includes(`| \`--${option} ${value}\` | all but \`start\`, \`unit\` | ${text} |`), option);
    }
    const documented = book.match(/^\| `[^|]+` \|/gm).length;
    const known = Object.values(COMMANDS).map(({ options = {} }) => Object.keys(options).length + 1);
    assert.equal(documented, known.reduce((sum, count) => sum + count) + Object.keys(COMMON).length);
  });
});

/** A worker without what differs between two looks. */
function lasting({ loopAgeMs, figures, ...rest }) {
  assert.notEqual(loopAgeMs, undefined);
  assert.notEqual(figures, undefined);
  return rest;
}
