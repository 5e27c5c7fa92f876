// Whole programs under test: started in a directory of their own, read line by line, reaped after the test.
//
// Tests call `start` and put `reap` into `afterEach` (or `after`, when several tests share a program). Each program
// leads a process group and carries a mark in its environment, which all that it starts inherits; by that mark `reap`
// finds what was left behind, kills it and fails the test. Owns the processes and their temporary directories.
'use strict';

const { spawn } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { eventually, inTime, PATIENCE_MS } = require('./wait');
const { commandOf, withEnvironment } = require('./processes');

const MARK = 'CLUSTER2_TEST_ID';
const APPS = path.join(__dirname, '..', 'apps');
const PACKAGE = process.env.CLUSTER2_PACKAGE ?? path.join(__dirname, '..', '..');
// What would make a program behave as part of something else.
const NOT_INHERITED = ['NODE_UNIQUE_ID', 'NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE', 'DEATH_TIMEOUT',
  'NODE_DEBUG', 'NODE_OPTIONS', 'CLUSTER2_MASTER'];
// Workers of a killed master have a second.
const GONE_WITHIN_MS = 1000;

// How many characters of a program's output, from its start and from its end, go into the report of a failure.
const SHOWN = 1500;

const running = new Set();

// Programs lead groups of their own, so they do not hear the Ctrl-C that ends their tests.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    for (const program of running) program.endAtOnce();
    process.kill(process.pid, signal);
  });
}

/**
 * Starts a script: a name in test/apps (with or without .js) or an absolute path.
 *
 * - `options`: for the program's `new Cluster`, read there with `require('./options')`
 * - `env`, `args`, `execArgv`; `node`: another Node binary (default: $CLUSTER2_TEST_NODE, or this one)
 * - `uid`: the user, and the group of the same number, to run as; only root may say so
 * - `cwd`: a directory to run in, such as another program's `cwd`; by default a new one, removed by `reap`
 */
function start(appFile, { options, env = {}, args = [], execArgv = [], node, cwd, uid } = {}) {
  const program = new Program(appFile, { options, env, args, execArgv, node, cwd, uid });
  running.add(program);
  return program;
}

class Program {
  #lines = [];
  #taken = new Set();
  #rest = '';
  #exit;
  #isOwnDirectory;
  #child;
  stdout = '';
  stderr = '';
  id = randomUUID();

  constructor(appFile, { options, env, args, execArgv, node, cwd, uid }) {
    const name = path.extname(appFile) === '' ? `${appFile}.js` : appFile;
    this.script = path.resolve(APPS, name);
    this.#isOwnDirectory = cwd === undefined;
    this.cwd = cwd ?? makeDirectory();
    if (this.#isOwnDirectory && uid !== undefined) fs.chownSync(this.cwd, uid, uid);
    const binary = node ?? process.env.CLUSTER2_TEST_NODE ?? process.execPath;
    this.#child = spawn(binary, [...execArgv, this.script, ...args], {
      cwd: this.cwd,
      env: { ...environment(options), ...env, [MARK]: this.id },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      uid,
      gid: uid,
    });
    this.pid = this.#child.pid;
    this.#child.stdout.setEncoding('utf8').on('data', (text) => this.#read(text));
    this.#child.stderr.setEncoding('utf8').on('data', (text) => { this.stderr += text; });
    this.#exit = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.#exit.catch(() => {});
  }

  /** Whether the program itself (not its workers) still runs. */
  get isRunning() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * The next line that matches, each given only once: waits for it if need be. `match` is the name of a reported
   * event, a RegExp on the raw text, or a predicate on `{event, args, pid, role, at}`.
   * Fails as soon as the program and all that it started have ended without saying it.
   */
  async line(match, { within = PATIENCE_MS } = {}) {
    const [line] = await this.#await(match, 1, within);
    this.#taken.add(line);
    return line;
  }

  /** Waits until `count` lines match, those given before included, and returns them all. */
  lines(match, count, { within = PATIENCE_MS } = {}) {
    return this.#await(match, count, within, true);
  }

  /** The lines that match so far. */
  seen(match = () => true) {
    const test = matcher(match);
    return this.#lines.filter(test);
  }

  /** How the program ended, `{code, signal}`; waits for it. */
  exit({ within = PATIENCE_MS } = {}) {
    return inTime(this.#exit, `exit of ${path.basename(this.script)}\n${this.output()}`, within);
  }

  /** Resolves when no process is left that the program started, itself included. */
  async gone({ within = PATIENCE_MS } = {}) {
    await eventually(() => this.processes().length === 0, { within, what: `end of all processes of ${this.script}` });
  }

  /** Signals the program alone; `killGroup` does what Ctrl-C in a terminal does. */
  kill(signal = 'SIGTERM') {
    return this.#child.kill(signal);
  }

  killGroup(signal = 'SIGINT') {
    process.kill(-this.pid, signal);
  }

  /** Kills all that the program started, without waiting for it. */
  endAtOnce() {
    for (const pid of this.processes()) killQuietly(pid);
    if (this.#isOwnDirectory) fs.rmSync(this.cwd, { recursive: true, force: true });
  }

  /** The pids of all living processes that the program started, itself included. */
  processes() {
    return withEnvironment(MARK, this.id);
  }

  /** Names in a directory below `cwd`, sorted; none if it is not there. */
  files(directory) {
    try {
      return fs.readdirSync(path.join(this.cwd, directory)).sort();
    } catch {
      return [];
    }
  }

  output() {
    const cut = (text) => (text.length > 2 * SHOWN ? `${text.slice(0, SHOWN)}\n[...]\n${text.slice(-SHOWN)}` : text);
    return `--- stdout of ${path.basename(this.script)}\n${cut(this.stdout)}--- stderr\n${cut(this.stderr)}`;
  }

  /** Kills what still runs; resolves with a description of what outlived the master for too long. */
  async end() {
    if (this.isRunning) this.#child.kill('SIGKILL');
    await this.#exit.catch(() => {});
    let left = [];
    await eventually(() => (left = this.processes()).length === 0, { within: GONE_WITHIN_MS }).catch(() => {});
    const described = left.map((pid) => `${pid} ${commandOf(pid)}`);
    for (const pid of left) killQuietly(pid);
    await eventually(() => this.processes().length === 0);
    if (this.#isOwnDirectory) fs.rmSync(this.cwd, { recursive: true, force: true });
    return described;
  }

  async #await(match, count, within, evenTaken = false) {
    const test = matcher(match);
    const find = () => this.#lines.filter((line) => (evenTaken || !this.#taken.has(line)) && test(line));
    const isMute = () => !this.isRunning && this.#child.stdout.closed;
    let ended = false;
    await eventually(() => {
      ended = isMute();
      return find().length >= count || ended;
    }, { within, what: `${count} lines matching ${match}` }).catch((error) => {
      throw new Error(`${error.message}\n${this.output()}`);
    });
    const found = find();
    if (found.length < count) throw new Error(`ended without ${count} lines matching ${match}\n${this.output()}`);
    return evenTaken ? found : found.slice(0, count);
  }

  #read(text) {
    this.stdout += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) this.#lines.push(parse(line));
  }
}

/** For `afterEach` or `after`: ends every program; fails when one of them left a process behind. */
async function reap() {
  const programs = [...running];
  running.clear();
  const { state, err } = this?.currentTest ?? {};
  // Where the error does not show it yet.
  if (state === 'failed' && !err?.message.includes('--- stdout')) {
    for (const program of programs) process.stderr.write(`${program.output()}\n`);
  }
  const left = (await Promise.all(programs.map((program) => program.end()))).flat();
  if (left.length > 0) throw new Error(`processes left behind:\n${left.join('\n')}`);
}

/** A new temporary directory, for programs that share one; whoever makes it removes it. */
function makeDirectory() {
  return fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'c2-')));
}

module.exports = { start, reap, Program, makeDirectory, PACKAGE };

function environment(options) {
  const inherited = Object.entries(process.env).filter(([name]) => !NOT_INHERITED.includes(name));
  const env = { ...Object.fromEntries(inherited), CLUSTER2_PACKAGE: PACKAGE };
  return options === undefined ? env : { ...env, CLUSTER2_TEST_OPTIONS: JSON.stringify(options) };
}

function matcher(match) {
  if (match instanceof RegExp) return ({ text }) => match.test(text);
  return typeof match === 'string' ? ({ event }) => event === match : match;
}

function parse(text) {
  try {
    const line = JSON.parse(text);
    if (line && typeof line === 'object') return { ...line, text };
  } catch {
    // What isn't ours stays text.
  }
  return { text };
}

function killQuietly(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It went by itself.
  }
}
