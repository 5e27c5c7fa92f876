// Our workers as Node's `cluster` module shows workers, for old scripts and libraries that look there.
//
// One `ClusterWorker` per process, with the `process` object that cluster2 kept in `process.cluster.workers`.
// They hold no state of supervision: they send, and repeat what the supervisor reports.
'use strict';

const nodeCluster = require('node:cluster');
const { EventEmitter } = require('node:events');
const { syncBuiltinESMExports } = require('node:module');
const { constants: { signals } } = require('node:os');

const { callApplication } = require('../shared/application');
const { createError, fromNative } = require('../shared/errors');
const { describeHandle, giveAway } = require('./handles');

// Node's own sign that a sender should slow down: `send` returns false.
const HIGH_WATER = 1024 * 1024;
// What Node sends.
const SENDABLE = ['string', 'object', 'number', 'boolean'];

/** The worker's process, as much of a ChildProcess as the channel makes possible. */
class WorkerProcess extends EventEmitter {
  #native;
  #id;
  #posted = [];

  constructor(native, id, pid) {
    super();
    this.#native = native;
    this.#id = id;
    this.pid = pid;
    this.connected = true;
    this.killed = false;
    this.exitCode = null;
    this.signalCode = null;
  }

  /** As `send` of a ChildProcess. What can't be sent throws; what can't be sent now is told to the callback. */
  send(message, handle, options, callback) {
    const done = [handle, options, callback].find((arg) => typeof arg === 'function');
    const given = typeof handle === 'function' ? undefined : handle;
    const [text, fd] = envelope(message, given);
    let waiting;
    this.flush();
    try {
      waiting = this.#native.send(this.#id, text, fd);
    } catch (error) {
      const told = fromNative(error);
      if (done) process.nextTick(done, told);
      else if (this.listenerCount('error') > 0) process.nextTick(() => this.emit('error', told));
      return false;
    }
    if (fd !== undefined && !options?.keepOpen) giveAway(given);
    if (done) process.nextTick(done, null);
    return waiting < HIGH_WATER;
  }

  /** Says a line later in this turn, together with others, in order; one that can't be said is dropped. */
  post(text) {
    if (this.#posted.push(text) === 1) process.nextTick(() => this.flush());
  }

  flush() {
    if (this.#posted.length === 0) return;
    const text = this.#posted.join('\n');
    this.#posted = [];
    try {
      this.#native.send(this.#id, text);
    } catch (error) {
      if (this.listenerCount('error') > 0) process.nextTick(() => this.emit('error', fromNative(error)));
    }
  }

  kill(signal = 'SIGTERM') {
    const number = typeof signal === 'number' ? signal : signals[signal];
    if (number === undefined) throw new TypeError(`Unknown signal: ${signal}`);
    if (this.exitCode !== null || this.signalCode !== null) return false;
    this.flush();
    this.#native.signal(this.#id, number);
    if (number !== 0) this.killed = true;
    return true;
  }

  disconnect() {
    this.flush();
    this.#native.disconnect(this.#id);
  }
}

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

// The line to send and the descriptor beside it. What Node refuses is refused with Node's codes.
function envelope(message, handle) {
  if (message === undefined) throw refusal('ERR_MISSING_ARGS', 'The "message" argument must be specified');
  if (!SENDABLE.includes(typeof message)) {
    throw refusal('ERR_INVALID_ARG_TYPE', `The "message" argument must be one of type ${SENDABLE.join(', ')}`);
  }
  if (!handle) return [JSON.stringify(message), undefined];
  const described = describeHandle(handle);
  if (!described) throw refusal('ERR_INVALID_HANDLE_TYPE', 'This handle type cannot be sent');
  const { kind, fd, dgramType } = described;
  if (!(fd >= 0)) return [JSON.stringify(message), undefined];
  return [JSON.stringify({ cmd: 'NODE_HANDLE', type: kind, dgramType, msg: message }), fd];
}

function refusal(code, message) {
  return Object.assign(new TypeError(message), { code });
}

module.exports = { NodeCluster };
