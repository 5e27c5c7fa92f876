// Who is measured: each is a master with its workers, started once and left idle while the others have their turn.
//
// The programs are in servers/. What they have to tell, a new worker above all, they write as lines of JSON into a
// file of their own, so that it is learnt in the same way whoever forks the workers.
'use strict';

const { fork } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { endThose, environment, home } = require('./ending');
const { cpuMilliseconds, isAlive, memory, signal } = require('./processes');

const START_MS = 60_000;
const ANSWER_MS = 60_000;
const LOOK_MS = 10;

const OURS = 'cluster2-rs';
const REUSE_PORT = 'Node reusePort';
const KINDS = {
  [OURS]: { server: 'cluster2.js', env: {} },
  'Node default': { server: 'node.js', env: { NODE_CLUSTER_SCHED_POLICY: 'rr' } },
  'Node shared': { server: 'node.js', env: { NODE_CLUSTER_SCHED_POLICY: 'none' } },
  // As this package does it, and nothing else that it does: each worker has a socket of its own.
  [REUSE_PORT]: { server: 'node.js', env: { NODE_CLUSTER_SCHED_POLICY: 'none' }, needsPort: true },
  'PM2': { server: 'pm2.js', needsPort: true, env: { NODE_CLUSTER_SCHED_POLICY: 'rr' } },
  'one process': { server: 'bare.js', env: {} },
};

let started = 0;

class Contestant {
  #child;
  #home;
  #number = String(started += 1);
  #notes;
  #begun;
  name;
  kind;
  port = 0;

  /**
   * Starts one of KINDS with `workers` workers on the Node `node`; resolves when all of them listen. `label` is its
   * name in tables, where that is not its kind.
   */
  static async start(kind, { node, workers, pm2, env = {}, label = kind }) {
    const contestant = new Contestant();
    await contestant.#start(kind, { node, workers, pm2, env, label });
    return contestant;
  }

  async #start(kind, { node, workers, pm2, env, label }) {
    this.kind = kind;
    this.name = label;
    this.#home = path.join(home, this.#number);
    fs.mkdirSync(this.#home);
    this.#notes = path.join(this.#home, 'notes');
    fs.writeFileSync(this.#notes, '');
    const expected = kind === 'one process' ? 1 : workers;
    const own = kind === 'PM2' ? surroundingsOfPm2(pm2, node, this.#home) : {};
    if (KINDS[kind].needsPort) own.BENCH_PORT = String(await freePort());
    this.#begun = performance.timeOrigin + performance.now();
    this.#child = fork(path.join(__dirname, 'servers', KINDS[kind].server), {
      execPath: node,
      execArgv: [],
      cwd: this.#home,
      // A session of its own, as PM2's daemon makes itself one: the kernel shares its processors out by session.
      detached: true,
      env: {
        ...process.env,
        ...environment,
        BENCH_CONTESTANT: this.#number,
        BENCH_NOTES: this.#notes,
        BENCH_WORKERS: String(workers),
        ...KINDS[kind].env,
        ...own,
        ...env,
      },
      // What it has to complain of is shown when it fails to start; a crash in a stop is what is measured.
      stdio: ['ignore', 'ignore', fs.openSync(path.join(this.#home, 'stderr'), 'w'), 'ipc'],
    });
    await this.until(() => this.workers().length >= expected, START_MS, 'did not start');
    this.port = this.#listening().at(-1).port;
  }

  /** The living workers that have said that they listen, oldest first. */
  workers() {
    return this.#listening().map(({ pid }) => pid).filter(isAlive);
  }

  /** Who supervises: for one process on its own, nobody. */
  get master() {
    if (this.kind === 'PM2') return Number(this.#read().find(({ master }) => master)?.master);
    return this.kind === 'one process' ? null : this.#child.pid;
  }

  /** The port of the monitor, where there is one. */
  get monitor() {
    return this.#read().find(({ monitor }) => monitor)?.monitor;
  }

  /** From the start of the master, or from PM2's being told, to the moment when the last worker listened; ms. */
  startMilliseconds() {
    const begun = this.#read().find(({ forking }) => forking)?.forking ?? this.#begun;
    return Math.max(...this.#listening().map(({ at }) => at)) - begun;
  }

  /** When the newest worker began to listen, by the clock of the epoch. */
  lastListening() {
    return this.#listening().at(-1).at;
  }

  /** How often a worker began to listen. */
  listenings() {
    return this.#listening().length;
  }

  /** How often a spare has booted. */
  spares() {
    return this.#read().filter(({ spare }) => spare).length;
  }

  /** The processor time used so far, in ms: `{master, workers}`. */
  cpu() {
    const workers = this.workers().reduce((total, pid) => total + cpuMilliseconds(pid), 0);
    return { master: this.master === null ? 0 : cpuMilliseconds(this.master), workers };
  }

  /** In MB: the resident memory of the master, and resident and proportional memory of a worker on average. */
  memory() {
    const each = this.workers().map(memory);
    const average = (key) => each.reduce((total, { [key]: value }) => total + value, 0) / each.length;
    return { master: this.master === null ? 0 : memory(this.master).rss, rss: average('rss'), pss: average('pss') };
  }

  /** Gives an order such as 'reload'; resolves with how many ms it took. */
  order(what, patience = ANSWER_MS) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.name}: ${what} takes too long`)), patience);
      this.#child.once('message', ({ ms }) => {
        clearTimeout(timer);
        resolve(ms);
      });
      this.#child.send({ do: what });
    });
  }

  /** Tells it to stop gracefully, as its user would. */
  askToStop() {
    if (this.kind === 'PM2') this.#child.send({ do: 'stop' });
    else this.#child.kill('SIGTERM');
  }

  /** Waits until `condition` holds. */
  async until(condition, patience, problem) {
    const end = performance.now() + patience;
    while (!condition()) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        const words = fs.readFileSync(path.join(this.#home, 'stderr'), 'utf8').slice(-2000);
        throw new Error(`${this.name} ended with ${this.#child.exitCode ?? this.#child.signalCode}\n${words}`);
      }
      if (performance.now() > end) throw new Error(`${this.name} ${problem} in ${patience} ms`);
      await sleep(LOOK_MS);
    }
  }

  /** Ends it at once, with all its processes. */
  async end() {
    const isOver = () => this.#child.exitCode !== null || this.#child.signalCode !== null;
    endThose('BENCH_CONTESTANT', this.#number);
    while (!isOver()) await sleep(LOOK_MS);
    // Who was forked between the look and the death of its master.
    endThose('BENCH_CONTESTANT', this.#number);
  }

  #listening() {
    return this.#read().filter(({ at }) => at);
  }

  #read() {
    const text = fs.readFileSync(this.#notes, 'utf8');
    // A line may be on its way.
    return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }
}

function surroundingsOfPm2(pm2, node, folder) {
  return {
    BENCH_PM2: pm2,
    PM2_HOME: path.join(folder, 'pm2'),
    PM2_PID_FILE_PATH: path.join(folder, 'pm2', 'pm2.pid'),
    PM2_DISCRETE_MODE: 'true',
    PM2_DISABLE_VERSION_CHECK: 'true',
    PATH: [path.dirname(node), process.env.PATH].join(path.delimiter),
  };
}

/** For workers that must be told a port; whoever takes this one in between makes the start fail. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

module.exports = { Contestant, KINDS: Object.keys(KINDS), OURS, REUSE_PORT, freePort, signal };
