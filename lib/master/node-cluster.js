// Our workers as Node's `cluster` module shows workers, for old scripts and libraries that look there.
//
// One `ClusterWorker` per process, with the `process` object that cluster2 kept in `process.cluster.workers`.
// They hold no state of supervision: they send, and repeat what the supervisor reports.
'use strict';

const nodeCluster = require('node:cluster');
const { EventEmitter } = require('node:events');
const { syncBuiltinESMExports } = require('node:module');

const { callApplication } = require('../shared/call-application');
const { WorkerProcess } = require('../node-cluster/worker-process');
const { createError } = require('../shared/errors');

/** What `cluster.workers[id]` is. */
class ClusterWorker extends EventEmitter {
  #forget;

  /** `forget()` is called when the process or its channel has ended, before anybody is told. */
  constructor(native, id, pid, forget) {
    super();
    this.#forget = forget;
    this.id = id;
    this.state = 'none';
    this.exitedAfterDisconnect = undefined;
    this.process = new WorkerProcess(native, id, pid);
    this.process.on('error', (error) => this.listenerCount('error') > 0 && this.emit('error', error));
  }

  send(...args) {
    return this.process.send(...args);
  }

  kill(signal) {
    this.process.kill(signal);
  }

  destroy(signal) {
    this.kill(signal);
  }

  disconnect() {
    this.exitedAfterDisconnect = true;
    this.process.disconnect();
    return this;
  }

  isConnected() {
    return this.process.connected;
  }

  isDead() {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  online() {
    this.#become('online');
  }

  serverListening(address) {
    this.#become('listening', address);
  }

  leavesOnPurpose() {
    this.exitedAfterDisconnect = true;
  }

  // In these three, listeners of the worker and of `cluster` come before those of its process, as with Node's own.
  disconnected() {
    this.exitedAfterDisconnect = Boolean(this.exitedAfterDisconnect);
    this.process.connected = false;
    this.#forget();
    this.#become('disconnected', undefined, 'disconnect');
    tell(this.process, 'disconnect');
  }

  exited(code, signal) {
    this.exitedAfterDisconnect = Boolean(this.exitedAfterDisconnect);
    this.process.exitCode = code;
    this.process.signalCode = signal;
    this.state = 'dead';
    this.#forget();
    tell(this, 'exit', code, signal);
    tell(nodeCluster, 'exit', this, code, signal);
    tell(this.process, 'exit', code, signal);
  }

  said(message, handle) {
    tell(nodeCluster, 'message', this, message, handle);
    tell(this, 'message', message, handle);
    tell(this.process, 'message', message, handle);
  }

  #become(state, fact, event = state) {
    this.state = state;
    const facts = fact === undefined ? [] : [fact];
    tell(this, event, ...facts);
    tell(nodeCluster, event, this, ...facts);
  }
}

/** All of them, by id and by pid. */
class NodeCluster {
  #native;
  #byId = new Map();
  byPid = {};

  constructor(native) {
    this.#native = native;
    // Fills `cluster.settings`, as a first fork would.
    nodeCluster.setupPrimary();
    nodeCluster.fork = () => { throw createError('ERR_CLUSTER2_FORK'); };
    nodeCluster.disconnect = (callback) => this.#disconnectAll(callback);
    syncBuiltinESMExports();
  }

  // As Node's own: asks all workers to leave, and calls back when the last one has gone.
  #disconnectAll(callback) {
    const leaving = new Set(this.#byId.values());
    if (leaving.size === 0 && callback) process.nextTick(callback);
    for (const worker of leaving) {
      const look = () => {
        const isGone = worker.isDead() && !worker.isConnected();
        if (isGone && leaving.delete(worker) && leaving.size === 0 && callback) process.nextTick(callback);
      };
      worker.once('disconnect', look).once('exit', look);
      if (worker.isConnected()) worker.disconnect();
    }
  }

  forked(id, pid) {
    const worker = new ClusterWorker(this.#native, id, pid, () => this.#forget(worker));
    this.#byId.set(id, worker);
    this.byPid[pid] = worker.process;
    nodeCluster.workers ??= {};
    nodeCluster.workers[id] = worker;
    tell(nodeCluster, 'fork', worker);
  }

  // The end of a process and the end of its channel come in either order; after both nothing of it is left.
  #forget(worker) {
    const { pid } = worker.process;
    if (this.byPid[pid] === worker.process) delete this.byPid[pid];
    if (!worker.isDead() || worker.isConnected()) return;
    this.#byId.delete(worker.id);
    delete nodeCluster.workers[worker.id];
  }

  get(id) {
    return this.#byId.get(id);
  }

  /** Says a line to the workers `pids`, or to all, but not to those in the set `except`. */
  reach(text, pids, except) {
    for (const { process } of this.#byId.values()) {
      const { pid, connected } = process;
      if (connected && (!pids || pids.includes(pid)) && !except?.has(pid)) process.post(text);
    }
  }

  /** What was said in this turn, before the process exits. */
  flush() {
    for (const { process } of this.#byId.values()) process.flush();
  }
}

// Whatever one listener throws, the others are told.
function tell(emitter, event, ...args) {
  callApplication(() => emitter.emit(event, ...args));
}

module.exports = { NodeCluster };
