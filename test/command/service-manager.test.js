// What a service manager that listens (systemd: `Type=notify`) is told, by a stand-in that prints it.
'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { eventually, reap, request } = require('../support');
const { command } = require('../support/command');
const { directoryOf, removeDirectories, SERVER, servingScript, startScript } = require('../support/script');

// So long the master stands still: several times as long as a sign of life may be late.
const STOPPED_MS = 1000;
const LISTENER = path.join(__dirname, '../support', 'service-manager.pl');
const isPossible = spawnSync('perl', ['-MSocket', '-e', '1']).status === 0;

if (isPossible) describe('the service manager', () => {
  let manager;

  afterEach(reap);
  afterEach(() => manager?.end());
  after(removeDirectories);

  it('is told of the start, of a reload and of the end', async () => {
    const cwd = directoryOf({ 'app.js': SERVER });
    manager = await new ServiceManager(cwd).begin();
    const program = await servingScript(cwd, ['--workers', '2', 'app.js'], { env: manager.environment });
    await manager.heard(/^READY=1$/);
    await manager.heard(/^STATUS=2 of 2 workers serve$/);
    assert.deepEqual(manager.words(/^(READY|RELOADING|STOPPING)=/), ['READY=1']);
    assert.equal((await command(cwd, ['reload', '--wait'])).code, 0);
    await eventually(() => manager.words(/^READY=1$/).length === 2);
    assert.match(manager.messages.find((message) => message.includes('RELOADING=1')), /^MONOTONIC_USEC=\d+$/m);
    program.kill('SIGTERM');
    await manager.heard(/^STOPPING=1$/);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.deepEqual(manager.words(/^(READY|RELOADING|STOPPING)=/), ['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1']);
  });

  it('is not told that a cluster is ready of which no worker is', async () => {
    const cwd = directoryOf({ 'app.js': 'setInterval(() => {}, 1000); process.exitCode = 3; throw new Error("no")' });
    manager = await new ServiceManager(cwd).begin();
    startScript(cwd, ['--workers', '1', 'app.js'], { env: manager.environment });
    await manager.heard(/^STATUS=0 of 1 workers serve$/);
    await manager.heard(/^WATCHDOG=1$/);
    assert.deepEqual(manager.words(/^READY/), []);
  });

  it('hears signs of life twice as often as it must, and none of a master that stands still', async () => {
    const cwd = directoryOf({ 'app.js': SERVER });
    manager = await new ServiceManager(cwd).begin();
    const program = await servingScript(cwd, ['--workers', '1', 'app.js'], { env: manager.environment });
    const signs = () => manager.words(/^WATCHDOG=1$/).length;
    const before = signs();
    await eventually(() => signs() >= before + 3);
    program.kill('SIGSTOP');
    // What was on its way comes in the first half.
    await sleep(STOPPED_MS / 2);
    const stopped = signs();
    await sleep(STOPPED_MS / 2);
    assert.equal(signs(), stopped);
    program.kill('SIGCONT');
    await eventually(() => signs() > stopped);
  });

  it('is nobody that workers could speak to', async () => {
    const cwd = directoryOf({ 'app.js': SERVER });
    manager = await new ServiceManager(cwd).begin();
    const { port } = await servingScript(cwd, ['--workers', '1', 'app.js'], { env: manager.environment });
    const { env } = JSON.parse((await request(port)).body);
    assert.deepEqual(Object.keys(env).filter((name) => /^(NOTIFY|WATCHDOG)_/.test(name)), []);
  });
});

// The stand-in, and what it has heard.
class ServiceManager {
  messages = [];
  #socket;
  #child;

  constructor(directory) {
    this.#socket = path.join(directory, 'notify');
  }

  get environment() {
    return { ...process.env, NOTIFY_SOCKET: this.#socket, WATCHDOG_USEC: '200000' };
  }

  async begin() {
    this.#child = spawn('perl', [LISTENER, this.#socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    this.#child.stdout.setEncoding('utf8').on('data', (part) => {
      const messages = (text + part).split('\n--\n');
      text = messages.pop();
      this.messages.push(...messages);
    });
    await this.heard(/^bound$/);
    return this;
  }

  words(pattern) {
    return this.messages.flatMap((message) => message.split('\n')).filter((line) => pattern.test(line));
  }

  heard(pattern) {
    return eventually(() => this.words(pattern).length > 0, { what: `${pattern} in ${this.messages.join('; ')}` });
  }

  end() {
    this.#child.kill('SIGKILL');
  }
}
