// `cluster2 start` with scripts that know nothing of this package: how they run, when they are ready, what is lost.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { connect, eventually, freePort, PACKAGE, reap, request } = require('../support');
const { command } = require('../support/command');
const { Load } = require('../support/load');
const { removeDirectories, directoryOf, SERVER, servingScript, startScript } = require('../support/script');

const ask = async (port, at = '/') => JSON.parse((await request(port, { path: at })).body);
const pidsOf = (program) => program.seen('serving').map(({ pid }) => pid);

async function answerersOf(program, count) {
  const pids = new Set();
  await eventually(async () => pids.add((await ask(program.port)).pid).size === count);
  return [...pids].sort();
}

describe('a script under cluster2 start', () => {
  afterEach(reap);
  after(removeDirectories);

  it('is the main module of each worker, with its own arguments, and serves from all of them', async () => {
    const program = await servingScript({ 'app.js': SERVER }, ['--workers', '2', 'app.js', '--json', '-x']);
    const facts = await ask(program.port);
    assert.equal(facts.isMain, true);
    assert.deepEqual(facts.argv, [path.join(program.cwd, 'app.js'), '--json', '-x']);
    assert.deepEqual(await answerersOf(program, 2), pidsOf(program).sort());
    assert.ok(!pidsOf(program).includes(program.pid));
  });

  it('finds nothing of ours in its flags and variables but its number, which its slot keeps', async () => {
    const files = { 'app.js': SERVER };
    const program = await servingScript(files, ['--workers', '1', '--node-args', '--no-warnings', 'app.js']);
    const before = await ask(program.port);
    assert.deepEqual(before.execArgv, ['--no-warnings']);
    const ours = Object.keys(before.env).filter((name) => /^CLUSTER2_(?!TEST|PACKAGE)|^NODE_(UNIQUE|CHANNEL)/.test(name));
    assert.deepEqual(ours, ['CLUSTER2_INSTANCE']);
    assert.equal(before.env.CLUSTER2_INSTANCE, '0');
    await command(program.cwd, ['reload', '--wait']);
    const after = await ask(program.port);
    assert.notEqual(after.pid, before.pid);
    assert.equal(after.env.CLUSTER2_INSTANCE, '0');
  });

  it('listens again at a unix path that a killed cluster has left, unless somebody listens there', async () => {
    const app = `
      const server = require('node:http').createServer((request, response) => response.end());
      server.listen('app.sock');`;
    const cwd = directoryOf({ 'app.js': app });
    const first = await servingScript(cwd, ['--workers', '2', 'app.js']);
    const second = startScript(cwd, ['--workers', '1', '--json', 'app.js']);
    const { reason } = await second.line('crashing');
    assert.match(reason, /EADDRINUSE/);
    first.killGroup('SIGKILL');
    await first.gone();
    assert.ok(fs.lstatSync(path.join(cwd, 'app.sock')).isSocket());
    await second.line('ready');
  });

  it('may fork programs and start threads, which are none of ours', async () => {
    const app = `
      const { fork } = require('node:child_process');
      const { Worker } = require('node:worker_threads');
      if (process.argv[2] === 'child') process.send({ execArgv: process.execArgv, argv: process.argv.slice(2) });
      else {
        const child = fork(__filename, ['child']);
        child.on('message', (said) => {
          const thread = new Worker('require("node:worker_threads").parentPort.postMessage(1)', { eval: true });
          thread.on('message', () => require('node:http')
            .createServer((request, response) => response.end(JSON.stringify(said))).listen(0));
          child.disconnect();
        });
      }`;
    const program = await servingScript({ 'app.js': app }, ['--workers', '1', 'app.js']);
    assert.deepEqual(await ask(program.port), { execArgv: [], argv: ['child'] });
  });

  const esm = `
    import { createServer } from 'node:http';
    const answer = await Promise.resolve('from an ES module');
    createServer((request, response) => response.end(answer)).listen(0);`;
  const typescript = `
    const answer: string = 'from TypeScript';
    require('node:http').createServer((request: unknown, response: any) => response.end(answer)).listen(0);`;
  const [major, minor] = process.versions.node.split('.').map(Number);
  for (const [kind, files, args, answer, isThere = true] of [
    ['an ES module with top-level await', { 'app.mjs': esm }, ['app.mjs'], 'from an ES module'],
    ['TypeScript by a flag of Node', { 'app.ts': typescript }, ['--node-args', '--experimental-strip-types', 'app.ts'],
      'from TypeScript', major > 22 || (major === 22 && minor >= 6)],
    ['a directory', { 'app/index.js': SERVER }, ['app'], /"isMain":true/],
    ['a name without its ending', { 'app.js': SERVER }, ['app'], /"isMain":true/],
    ['an installed program, by its name', {
      'node_modules/server/cli.js': `#!/usr/bin/env node\n${SERVER}`,
      'node_modules/.bin/server': '#!/bin/sh\nbasedir=$(dirname "$0")\nexec node  "$basedir/../server/cli.js" "$@"\n',
    }, ['server'], /"isMain":true/],
    ['what the directory given by --cwd has', { 'there/app.js': SERVER }, ['--cwd', 'there', 'app.js'], /there\/app\.js/],
  ]) {
    if (!isThere) continue;
    it(`can be ${kind}`, async () => {
      const program = await servingScript(files, ['--workers', '1', ...args]);
      const { body } = await request(program.port);
      if (typeof answer === 'string') assert.equal(body, answer);
      else assert.match(body, answer);
    });
  }

  it('is ready as soon as its server listens', async () => {
    const program = await servingScript({ 'app.js': SERVER }, ['--workers', '1', 'app.js']);
    const [{ workers: [worker] }] = JSON.parse((await command(program.cwd, ['status', '--json'])).stdout);
    const took = Date.parse(worker.readyAt) - Date.parse(worker.forkedAt);
    assert.equal(worker.state, 'serving');
    // Scripts that may yet make a Cluster are given a second.
    assert.ok(took < 900, `${took} ms`);
  });

  it("is ready with --wait-ready when it says process.send('ready'), and then only", async () => {
    const app = `${SERVER}
      server.on('request', (request) => request.url === '/go' && process.send('ready'));`;
    const program = startScript({ 'app.js': app }, ['--json', '--workers', '1', '--wait-ready', 'app.js'],
      { env: { PORT: String(await freePort()) } });
    const { pid } = await program.line('forked');
    const port = await eventually(async () => {
      const [status] = JSON.parse((await command(program.cwd, ['status', '--json'])).stdout || '[]');
      return status?.addresses[0]?.port;
    });
    assert.deepEqual(program.seen('ready'), []);
    await ask(port, '/go');
    assert.equal((await program.line('serving')).pid, pid);
  });

  it('is ready with --wait-ready also where a library wraps process.send', async () => {
    const app = `${SERVER}
      const { send } = process;
      process.send = (...said) => send.apply(process, said);
      server.on('listening', () => process.send('ready'));`;
    await servingScript({ 'app.js': app }, ['--workers', '1', '--wait-ready', 'app.js']);
  });

  it('that never says it with --wait-ready is missed by what it did not do', async () => {
    const args = ['--json', '--workers', '1', '--wait-ready', '--start-timeout', '800', 'app.js'];
    const program = startScript({ 'app.js': SERVER }, args);
    const { reason } = await program.line('died');
    assert.match(reason, /did not say `process\.send\('ready'\)` within 800 ms/);
  });

  it('is ready as soon as a server listens that it binds by itself', async () => {
    const app = `
      const server = require('node:http').createServer((request, response) => response.end('own'));
      server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', exclusive: true });`;
    const port = await freePort();
    const env = { PORT: String(port) };
    const program = await servingScript({ 'app.js': app }, ['--workers', '1', 'app.js'], { env });
    assert.deepEqual(program.ready.addresses, [`127.0.0.1:${port}`]);
    assert.equal((await request(port)).body, 'own');
  });

  it('has its ports shared by the workers where it asks for reusePort', async () => {
    const app = `
      const server = require('node:http').createServer((request, response) => response.end(String(process.pid)));
      server.listen({ port: 0, host: '127.0.0.1', reusePort: true });`;
    const program = await servingScript({ 'app.js': app }, ['--workers', '2', 'app.js']);
    // One port is all that there is, and the master has it.
    const { stdout } = await command(program.cwd, ['status']);
    assert.match(stdout, new RegExp(`^listens on 127\\.0\\.0\\.1:${program.port}$`, 'm'));
    assert.equal((await request(program.port)).status, 200);
  });

  it('may remove its unix path before it listens and when it ends, as it would alone', async () => {
    const app = `
      const fs = require('node:fs');
      fs.rmSync('app.sock', { force: true });
      require('node:http').createServer((request, response) => response.end('path')).listen('app.sock');
      process.on('exit', () => fs.rmSync('app.sock', { force: true }));`;
    const program = await servingScript({ 'app.js': app }, ['--workers', '2', 'app.js']);
    const socketPath = path.join(program.cwd, 'app.sock');
    const answers = async () => (await request(socketPath)).body === 'path';
    assert.ok(await answers());
    const { code } = await command(program.cwd, ['reload', '--wait']);
    assert.equal(code, 0);
    await eventually(() => answers().catch(() => false));
    process.kill(program.seen('serving').at(-1).pid, 'SIGTERM');
    await program.lines('died', 3);
    await eventually(() => answers().catch(() => false));
    program.kill();
    await program.exit();
    assert.deepEqual(fs.readdirSync(program.cwd).sort(), ['app.js', 'pids']);
  });

  it('that opens no server is taken for ready at startTimeout, and not ended', async () => {
    const app = 'setInterval(() => {}, 1000); process.send({ alive: process.pid });';
    const program = startScript({ 'app.js': app }, ['--json', '--workers', '1', '--start-timeout', '1500', 'app.js']);
    const { pid } = await program.line('forked');
    const { message } = await program.line('warning');
    assert.match(message, /has opened no server within 1 s: it counts as ready all the same/);
    await program.line('ready');
    const [{ workers }] = JSON.parse((await command(program.cwd, ['status', '--json'])).stdout);
    assert.deepEqual(workers.map((worker) => [worker.pid, worker.state]), [[pid, 'serving']]);
  });

  for (const [what, options] of [
    ['is', 'port: 0'],
    ['that asks for its port alone is', 'port: 0, exclusive: true'],
    ['that shares its port by the kernel is', 'port: 0, reusePort: true'],
  ]) {
    it(`${what} reloaded under load without a lost request`, async () => {
      const server = "require('node:http').createServer((request, response) => response.end('hello'))";
      const hello = `${server}.listen({ ${options} });`;
      const program = await servingScript({ 'app.js': hello }, ['--workers', '2', 'app.js']);
      const before = pidsOf(program);
      // The other addresses are for kinds of clients that are not used here.
      const app = [{ port: program.port }, { path: 'none' }, {}, {}];
      const load = new Load({ cwd: program.cwd, addresses: { app } }, ['keepAlive', 'short']);
      await load.flows(20);
      const { code, stdout } = await command(program.cwd, ['reload', '--wait']);
      await load.flows(20);
      const counters = await load.stop();
      assert.equal(code, 0, stdout);
      assert.match(stdout, /: reloaded 2 workers in /);
      assert.deepEqual(load.losses, []);
      assert.ok(Object.values(counters).every(({ ok }) => ok >= 40));
      assert.ok(before.every((pid) => !pidsOf(program).slice(2).includes(pid)));
    });
  }

  it('answers what is under way when it is told to end, and the command exits with 0', async () => {
    const program = await servingScript({ 'app.js': SERVER }, ['--workers', '2', 'app.js']);
    const connection = await connect(program.port);
    connection.get('/slow');
    await eventually(async () => JSON.parse((await command(program.cwd, ['status', '--json'])).stdout)[0].workers
      .some(({ figures }) => figures?.connectionsOpen > 0));
    program.kill('SIGTERM');
    await connection.until(/"path":"\/slow"/);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('has no idle timeout of ours, and no limit of connections', async () => {
    const app = `${SERVER}
      server.on('listening', () => setImmediate(() => { facts = [server.timeout, server.keepAliveTimeout]; }));
      let facts;
      server.prependListener('request', (request, response) => response.setHeader('x-timeouts', facts.join()));`;
    const program = await servingScript({ 'app.js': app }, ['--workers', '1', 'app.js']);
    const plain = new (require('node:http').Server)();
    const { headers } = await request(program.port);
    assert.equal(headers['x-timeouts'], `${plain.timeout},${plain.keepAliveTimeout}`);
  });

  it('keeps a path /ecv of its own, unless --ecv asks for our answer', async () => {
    const program = await servingScript({ 'app.js': SERVER }, ['--workers', '1', 'app.js']);
    assert.equal((await ask(program.port, '/ecv')).path, '/ecv');
    program.kill('SIGTERM');
    await program.exit();
    const other = await servingScript({ 'app.js': SERVER }, ['--workers', '1', '--ecv', '/health', 'app.js']);
    assert.match((await request(other.port, { path: '/health' })).body, /AVAILABLE/);
    assert.equal((await ask(other.port, '/ecv')).path, '/ecv');
  });

  it('that has ended with status 0 in every worker ends the command', async () => {
    const program = startScript({ 'app.js': 'console.log("done"); process.exit();' }, ['--workers', '2', 'app.js']);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.equal(program.stdout.match(/^done$/gm).length, 2);
    assert.match(program.stdout, /every worker has ended by itself with exit status 0/);
  });

  it('runs from JavaScript by the option exec', async () => {
    const cwd = directoryOf({
      'app.js': SERVER,
      'master.js': `
        const Cluster = require(${JSON.stringify(PACKAGE)});
        const c = new Cluster({ exec: 'app.js', args: 'a b', noWorkers: 1, monPort: false });
        c.on('listening', () => console.log(JSON.stringify({ event: 'listening', at: c.addresses().app })));
        c.listen();`,
    });
    const { start } = require('../support');
    const program = start(path.join(cwd, 'master.js'), { cwd });
    const { at: [{ port }] } = await program.line('listening');
    assert.deepEqual((await ask(port)).argv, [path.join(cwd, 'app.js'), 'a', 'b']);
  });
});

describe('a script that is a cluster master itself', () => {
  afterEach(reap);
  after(removeDirectories);

  for (const [kind, text, by] of [
    ['loads this package', `require(${JSON.stringify(PACKAGE)})`, /it loads .+ in lib\/main\.js/],
    ['forks with node:cluster', "if (require('node:cluster').isPrimary) require('node:cluster').fork",
      /it forks with node:cluster/],
  ]) {
    it(`is run as it is where it ${kind}, and the command says so`, async () => {
      const main = kind.startsWith('forks') ? `${text}(); else process.exit();` : `${text};`;
      const say = 'console.log(process.pid, process.argv[2]);';
      const files = { 'app.js': 'require("./lib/main");', 'lib/main.js': `${main} ${say}` };
      const program = startScript(files, ['--workers', '2', 'app.js', 'x']);
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.match(program.stdout, new RegExp(`^${program.pid} x$`, 'm'));
      assert.match(program.stderr, /^cluster2: app\.js is a cluster master itself \(.+\): it runs as it is; without /);
      assert.match(program.stderr, by);
    });
  }

  it('is not run where flags of Node are given, which it could not get', async () => {
    const cwd = directoryOf({ 'app.js': `require(${JSON.stringify(PACKAGE)})` });
    const { code, stderr } = await command(cwd, ['start', '--node-args', '--no-warnings', 'app.js']);
    assert.equal(code, 2);
    assert.match(stderr, /run it by `node --no-warnings app\.js`/);
  });

  it('serves as a guest in each worker where it was not recognised', async () => {
    const app = `
      const Cluster = require(process.env[['CLUSTER2', 'PACKAGE'].join('_')]);
      new Cluster({ port: Number(process.env.PORT), host: '127.0.0.1', noWorkers: 3 })
        .listen((cb) => cb((request, response) => response.end('guest')));`;
    const port = await freePort();
    const env = { PORT: String(port) };
    const program = await servingScript({ 'app.js': app }, ['--workers', '1', 'app.js'], { env });
    assert.equal(program.port, port);
    assert.equal((await request(port)).body, 'guest');
    assert.match(program.stderr, /CLUSTER2_GUEST_CLUSTER.*its Cluster serves in this worker/);
    assert.equal(fs.readdirSync(path.join(program.cwd, 'pids')).filter((name) => name.startsWith('master')).length, 2);
  });

  it('hears as a guest what happens to its worker, and does at its end what it has to do', async () => {
    const app = `
      const http = require('node:http');
      const Cluster = require(process.env[['CLUSTER2', 'PACKAGE'].join('_')]);
      const say = (text) => console.log(text);
      const c = new Cluster({ port: Number(process.env.PORT), host: '127.0.0.1', heartbeatInterval: 100 });
      for (const event of ['draining', 'SIGTERM']) c.on(event, () => say(event));
      c.once('heartbeat', () => say('heartbeat'));
      c.on('warning', ({ message }) => say(message));
      c.cleanup(() => say('cleaned up'));
      const server = http.createServer(async (request, response) => {
        if (request.url === '/throw') setImmediate(() => { throw new Error('thrown by a guest'); });
        response.end(JSON.stringify({
          components: await (await c.componentStatus()).getStatus('worker'),
          disabled: await c.disable('for the test'),
          enabled: await c.enable(),
          scaled: await c.scale(2).catch(({ code }) => code),
        }));
      });
      c.listen((callback) => callback({
        listen: (...args) => server.listen(...args),
        close: () => say('closed'),
      }));`;
    const env = { PORT: String(await freePort()) };
    const args = ['--workers', '1', '--on-uncaught-exception', 'continue', 'app.js'];
    const program = await servingScript({ 'app.js': app }, args, { env });
    const { components, ...done } = await ask(program.port);
    assert.deepEqual(components.map(String).sort(), [`${pidsOf(program)[0]}`, `m${program.pid}`].sort());
    assert.deepEqual(done, { scaled: 'ERR_CLUSTER2_NOT_RUNNING' });
    await program.line(/^heartbeat$/);
    await ask(program.port, '/throw');
    await program.line(/uncaught exception: Error: thrown by a guest/);
    program.kill();
    await program.exit();
    const said = program.stdout.match(/^(SIGTERM|draining|cleaned up|closed)$/gm);
    assert.deepEqual(said, ['SIGTERM', 'draining', 'cleaned up', 'closed']);
  });
});
