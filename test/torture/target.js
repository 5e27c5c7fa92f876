// The cluster under torture: its master, which may be killed and started again on the same ports, and its workers.
//
// Faults act on it, and it writes into the history who was killed and who stood still. Owns the master's processes
// until `end`.
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { childrenOf, eventually, freePort, isAlive, makeDirectory, PACKAGE, start } = require('../support');
const { ask } = require('../support/control');
const { openFiles } = require('../support/scoreboard');

const APP = path.join(__dirname, 'app.js');
const SCRIPT_MASTER = path.join(__dirname, 'script-master.js');
// How many places a worker serves, and says so of each; a script that is run as it is says it once.
const PLACES = 5;
// Nobody's, so that the limit of processes counts ours alone.
const USER = 61_919;
const START_MS = 30_000;
// Workers of a killed master have a second.
const GONE_WITHIN_MS = 1000;
// Enough for the clients, and few enough to be used up by `faults/descriptors`.
const DESCRIPTORS = 400;

class Target {
  #history;
  #options;
  #ports;
  #killed = new Set();
  #programs = [];
  directory = makeDirectory();
  /** Whether a master lives that has begun to serve. */
  isUp = false;
  /** How many workers there should be. */
  wanted;
  /** Whether it runs as somebody else than root, though we are. */
  isUser;
  #isScript;
  #says;

  constructor({ options, isUser, isScript }, history) {
    this.#history = history;
    this.#options = options;
    this.wanted = options.noWorkers;
    this.#isScript = isScript;
    this.#says = isScript ? 1 : PLACES;
    this.isUser = isUser && canRunAsUser();
  }

  /** The first start; resolves when all workers listen. */
  async start() {
    const ports = new Set();
    while (ports.size < 5) ports.add(await freePort());
    this.#ports = [...ports];
    if (this.isUser) fs.chownSync(this.directory, USER, USER);
    const [plain, tls, http2, raw, monitor] = this.#ports.map((port) => ({ host: '127.0.0.1', port }));
    const unix = { path: path.join(this.directory, 'plain.sock') };
    this.places = { plain, unix, tls: { ...tls, tls: true }, http2, raw };
    this.monPort = monitor.port;
    await this.#startMaster();
    return this;
  }

  /** Where it is written down what happens. */
  get history() {
    return this.#history;
  }

  get program() {
    return this.#programs.at(-1);
  }

  get masterPid() {
    return this.program.pid;
  }

  /** A number for each master that there was. */
  get generation() {
    return this.#programs.length;
  }

  /** The port of the first server. */
  get port() {
    return this.places.plain.port;
  }

  /** Living workers that were forked, in that order. */
  workers() {
    const gone = new Set(this.program.seen('died').map(({ args: [pid] }) => pid));
    return this.program.seen('forked').map(({ args: [pid] }) => pid)
      .filter((pid) => !gone.has(pid) && !this.#killed.has(pid) && isAlive(pid));
  }

  /** Those of which all servers listen. */
  serving() {
    const counts = new Map();
    for (const { pid } of this.program.seen('serves')) counts.set(pid, (counts.get(pid) ?? 0) + 1);
    return this.workers().filter((pid) => counts.get(pid) >= this.#says);
  }

  /** The worker that a number from 0 to 1 chooses, of those that live; undefined if there is none. */
  choose(share) {
    const workers = this.workers();
    return workers[Math.floor(share * workers.length)];
  }

  /** Kills a worker. If `isExact`, it is stopped first, so that its connections can be noted. */
  kill(pid, by, isExact = false) {
    if (isExact) signal(pid, 'SIGSTOP');
    const ports = isExact ? this.clientsOf(pid) : undefined;
    this.killing(pid, by, ports);
    signal(pid, 'SIGKILL');
  }

  /** Notes that a worker dies now by a fault. */
  killing(pid, by, ports) {
    this.#killed.add(pid);
    this.#history.kills.push({ at: Date.now(), pid, by, ports });
  }

  /** Stops a process until the function that this gives is called; its connections are noted. */
  freeze(pid, who) {
    signal(pid, 'SIGSTOP');
    const release = this.#history.hold(who, 'stopped', who === 'master' ? undefined : this.clientsOf(pid));
    return () => {
      signal(pid, 'SIGCONT');
      release();
    };
  }

  /** The clients whose connections a process has, as `address:port`; none if it is gone. */
  clientsOf(pid) {
    const clients = new Set();
    const inodes = new Set(socketsOf(pid));
    const ours = new Set(this.#ports);
    for (const line of fs.readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
      const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
      if (inodes.has(inode) && ours.has(portOf(local))) clients.add(`${addressOf(remote)}:${portOf(remote)}`);
    }
    return clients;
  }

  /**
   * One request on the control socket; the master's answer, or undefined where there is none because the master was
   * killed.
   */
  async control(call, args) {
    const { generation } = this;
    try {
      return await ask({ cwd: this.directory, pid: this.masterPid }, call, args, 60_000);
    } catch (error) {
      if (generation === this.generation && this.isUp) throw error;
      return undefined;
    }
  }

  /** Kills the master, and starts another one on the same ports once its workers are gone. */
  async replaceMaster() {
    if (!this.isUp) return;
    this.isUp = false;
    const outage = { from: Date.now(), to: Infinity };
    this.#history.outages.push(outage);
    const { program } = this;
    program.kill('SIGKILL');
    await program.exit();
    await program.gone({ within: GONE_WITHIN_MS }).catch(async () => {
      const left = program.processes();
      this.#history.found('orphans', `${left} live more than ${GONE_WITHIN_MS} ms after their master`);
      for (const pid of left) signal(pid, 'SIGKILL');
      await program.gone();
    });
    this.wanted = this.#options.noWorkers;
    await this.#startMaster();
    outage.to = Date.now();
  }

  /** Resolves when as many workers serve as should, and nothing else lives. */
  async settled(within) {
    const all = this.wanted + (this.#options.spares ?? 0);
    const isSettled = () => this.serving().length === this.wanted && this.workers().length === all;
    await eventually(isSettled, { within, what: 'rest' }).catch(({ message }) => {
      throw new Error(`${message}: ${this.wanted} wanted, ${this.serving()} serve, ${this.workers()} live`);
    });
  }

  /** What the master holds: `{descriptors, threads, zombies}`, the first by the names of what is open. */
  holdings() {
    return {
      descriptors: openFiles(this.masterPid).map((name) => name.replaceAll(/\d+/g, 'N')),
      threads: fs.readdirSync(`/proc/${this.masterPid}/task`).length,
      zombies: childrenOf(this.masterPid).filter(({ isZombie }) => isZombie).length,
    };
  }

  /** Notes what each worker did, by what the masters said. */
  writeWorkers() {
    const { outages, shortages } = this.#history;
    this.#programs.forEach((program, master) => {
      const workers = new Map();
      const of = (pid) => {
        if (!workers.has(pid)) workers.set(pid, { pid, master, places: 0, listeningAt: Infinity, drainingAt: Infinity,
          diedAt: Infinity });
        return workers.get(pid);
      };
      for (const { event, args, pid, role, at } of program.seen()) {
        if (role === 'worker' && event === 'serves' && (of(pid).places += 1) === this.#says) of(pid).listeningAt = at;
        if (role === 'worker' && event === 'draining') of(pid).drainingAt = at;
        if (event === 'died') Object.assign(of(args[0]), { diedAt: at }, args[1]);
        if (event === 'hung') of(args[0]).isHung = true;
        if (event === 'deed') this.#writeDeed(pid, at, ...args);
        if (event === 'hogs') shortages.push({ from: at, to: outages[master]?.from ?? Infinity, master });
        if (event === 'hogged') shortages.findLast((shortage) => shortage.master === master).to = at;
        if (event === 'disorder') this.#history.found('order of messages', JSON.stringify(args));
      }
      this.#history.workers.push(...workers.values());
    });
  }

  // A deed begins when the worker comes to it, which may be long after it was asked for.
  #writeDeed(pid, at, deed, amount) {
    const { holds, kills } = this.#history;
    if (deed === 'block') holds.push({ who: pid, why: 'blocked', from: at, to: at + amount });
    if (deed === 'abort' && !this.#killed.has(pid)) kills.push({ at, pid, by: 'abort' });
  }

  /** Ends what still lives. */
  async end() {
    this.isUp = false;
    for (const program of this.#programs) await program.end();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }

  async #startMaster() {
    const program = start(this.#isScript ? SCRIPT_MASTER : APP, {
      options: { ...this.#options, port: this.#ports[0], monPort: this.monPort, monHost: '127.0.0.1' },
      env: { TORTURE_PORTS: this.#ports.join() },
      cwd: this.directory,
      node: limited(this.directory),
      uid: this.isUser ? USER : undefined,
    });
    this.#programs.push(program);
    const { noWorkers } = this.#options;
    await eventually(() => this.serving().length >= noWorkers || !program.isRunning, { within: START_MS,
      what: 'workers that serve' }).catch((error) => {
      throw new Error(`${error.message}\n${program.output()}`);
    });
    if (!program.isRunning) throw new Error(`the master did not start\n${program.output()}`);
    this.isUp = true;
  }
}

/** Signals a process that may be gone. */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // It is.
  }
}

module.exports = { Target, signal };

// Not where this package is kept from others.
function canRunAsUser() {
  const load = ['-e', `require(${JSON.stringify(PACKAGE)})`];
  return process.getuid() === 0 && spawnSync(process.execPath, load, { uid: USER, gid: USER }).status === 0;
}

// A Node that may open few descriptors, and leaves no image of a process that aborts.
function limited(directory) {
  const node = path.join(directory, 'node');
  const real = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
  fs.writeFileSync(node, `#!/bin/sh\nulimit -c 0\nulimit -n ${DESCRIPTORS}\nexec '${real}' "$@"\n`, { mode: 0o755 });
  return node;
}

function socketsOf(pid) {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

function portOf(place) {
  return Number.parseInt(place.split(':')[1], 16);
}

// Four bytes, the lowest first.
function addressOf(place) {
  return place.slice(0, 8).match(/../g).reverse().map((byte) => Number.parseInt(byte, 16)).join('.');
}
