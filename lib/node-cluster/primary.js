// Node's `cluster` API in a primary, on the supervisor: every fork is the program's, and nothing is replaced.
//
// lib/node-cluster/index.js makes the one `Primary` of a process, which puts the API upon an EventEmitter. The
// supervisor begins with the first fork; it forks, holds the sockets and speaks with the workers. Events come in Node's
// order: a worker's listeners, then those of `cluster`. Owns the list of workers.
'use strict';

const fs = require('node:fs');

const { callApplication } = require('../shared/call-application');
const { fromNative } = require('../shared/errors');
const { load } = require('../shared/native');
const { onMissing } = require('../shared/node-internals');
const { encode } = require('../shared/options-json');
const { ForkedProcess } = require('./forked-process');
const { KeepAlive } = require('./keep-alive');
const { monitorOptions } = require('./monitor-options');
const { SCHED_NONE, SCHED_RR, Scheduling } = require('./scheduling');
const { launchOf, merged } = require('./settings');
const { Worker } = require('./cluster-worker');

class Primary {
  /** The API. */
  cluster;
  #scheduling = new Scheduling();
  #native;
  #keepAlive = new KeepAlive();
  // Those of which something may still be heard, by id.
  #workers = new Map();

  /** Puts the API upon `cluster`. */
  constructor(cluster) {
    this.cluster = cluster;
    const setupPrimary = (changes) => this.#setup(changes);
    Object.assign(cluster, {
      isMaster: true,
      isPrimary: true,
      isWorker: false,
      Worker,
      workers: {},
      settings: {},
      SCHED_NONE,
      SCHED_RR,
      setupPrimary,
      setupMaster: setupPrimary,
      fork: (env) => this.#fork(env),
      disconnect: (callback) => this.#disconnectAll(callback),
    });
    this.#scheduling.defineOn(cluster);
  }

  #setup(changes) {
    const settings = merged(this.cluster.settings, changes);
    this.cluster.settings = settings;
    this.#scheduling.freeze();
    process.nextTick(() => this.cluster.emit('setup', settings));
  }

  #fork(env) {
    const cluster = this.cluster;
    cluster.setupPrimary();
    const launch = launchOf(cluster.settings, env);
    const native = this.#start();
    const forked = native.fork(launch);
    const child = new ForkedProcess(native, forked, launch, this.#keepAlive);
    const worker = new Worker({ id: forked.id, process: child });
    worker.on('message', (message, handle) => cluster.emit('message', worker, message, handle));
    child.once('exit', (code, signal) => this.#exited(worker, code, signal));
    child.once('disconnect', () => this.#disconnected(worker));
    worker.disconnect = () => this.#disconnect(worker);
    this.#workers.set(worker.id, { child, worker });
    cluster.workers[worker.id] = worker;
    process.nextTick(() => cluster.emit('fork', worker));
    return worker;
  }

  #start() {
    if (this.#native) return this.#native;
    const options = { ...monitorOptions(this.cluster.settings.monitor), scheduling: this.#scheduling.option };
    try {
      const native = load().Master.prepareForProgram(encode(options));
      native.start((...event) => this.#receive(...event), false);
      // Only now, so that the next fork tries again after one that failed.
      this.#native = native;
    } catch (error) {
      throw fromNative(error);
    }
    process.once('exit', () => this.#native.close());
    onMissing((message) => process.emitWarning(message));
    return this.#native;
  }

  #receive(event, id, text, fd) {
    if (event === 'warning') {
      const { message, facts } = JSON.parse(text);
      process.emitWarning(message, { code: facts?.code });
    }
    const known = this.#workers.get(id);
    if (!known) {
      if (fd >= 0) fs.closeSync(fd);
      return;
    }
    const { child, worker } = known;
    switch (event) {
      case 'messages': child.read(text, (...said) => hear(child, ...said)); break;
      case 'handleMessage': child.readWithHandle(text, fd, (...said) => hear(child, ...said)); break;
      case 'online': this.#become(worker, 'online'); break;
      case 'serverListening': this.#become(worker, 'listening', addressOf(JSON.parse(text).address)); break;
      case 'leavesOnPurpose': worker.exitedAfterDisconnect = true; break;
      case 'disconnected': callApplication(() => child.channelEnded()); break;
      case 'died': this.#died(child, JSON.parse(text)); break;
      default:
    }
    if (worker.isDead() && child.channel === null) this.#workers.delete(id);
  }

  #died(child, { code, signal }) {
    callApplication(() => child.exited(code, signal));
  }

  #become(worker, state, ...facts) {
    worker.state = state;
    callApplication(() => worker.emit(state, ...facts));
    callApplication(() => this.cluster.emit(state, worker, ...facts));
  }

  #exited(worker, code, signal) {
    if (!worker.isConnected()) this.#forget(worker);
    worker.exitedAfterDisconnect = Boolean(worker.exitedAfterDisconnect);
    worker.state = 'dead';
    callApplication(() => worker.emit('exit', code, signal));
    callApplication(() => this.cluster.emit('exit', worker, code, signal));
  }

  #disconnected(worker) {
    if (worker.isDead()) this.#forget(worker);
    worker.exitedAfterDisconnect = Boolean(worker.exitedAfterDisconnect);
    worker.state = 'disconnected';
    callApplication(() => worker.emit('disconnect'));
    callApplication(() => this.cluster.emit('disconnect', worker));
  }

  // It takes no new clients from now on, and goes when it has no more.
  #disconnect(worker) {
    worker.exitedAfterDisconnect = true;
    if (worker.isConnected()) this.#native.disconnect(worker.id);
    this.#forget(worker);
    return worker;
  }

  #forget(worker) {
    const { workers } = this.cluster;
    if (workers[worker.id] === worker) delete workers[worker.id];
  }

  // Calls back when the last one has disconnected.
  #disconnectAll(callback) {
    const leaving = new Set(Object.values(this.cluster.workers).filter((worker) => worker.isConnected()));
    const left = (worker) => {
      leaving.delete(worker);
      if (leaving.size === 0) callback?.();
    };
    if (leaving.size === 0 && callback) process.nextTick(callback);
    for (const worker of [...leaving]) {
      worker.once('disconnect', () => left(worker));
      worker.disconnect();
    }
  }
}

module.exports = { Primary };

function hear(child, message, handle) {
  callApplication(() => child.emit('message', message, handle));
}

// In the order of Node.
function addressOf({ addressType, address, port, fd }) {
  return { addressType, address, port, fd };
}
