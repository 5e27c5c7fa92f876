// A worker's process as its master sees it: as much of Node's ChildProcess as the channel makes possible.
//
// lib/master/node-cluster.js makes one for each worker that the supervisor keeps; forked-process.js beside it adds what
// a program has that forks for itself. It holds no state of supervision: it sends, and repeats what is reported.
'use strict';

const { ChildProcess } = require('node:child_process');
const { EventEmitter } = require('node:events');
const net = require('node:net');
const { constants: { signals } } = require('node:os');

const { ReceivedSockets, describeHandle, giveAway, openHandle } = require('../master/handles');
const { fromNative } = require('../shared/errors');
const { nodeError } = require('./errors');
const { json } = require('./serialization');

// Node's own sign that a sender should slow down: `send` returns false.
const HIGH_WATER = 1024 * 1024;
// What Node sends.
const SENDABLE = ['string', 'object', 'number', 'boolean'];

class WorkerProcess extends EventEmitter {
  #native;
  #id;
  #serialization;
  #posted = [];
  #received = new ReceivedSockets((message) => this.post(this.#serialization.write(message)));

  constructor(native, id, pid, serialization = json) {
    super();
    this.#native = native;
    this.#id = id;
    this.#serialization = serialization;
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
    const problem = this.refusal();
    if (problem) return this.#failed(problem, done);
    const [text, fd] = this.#envelope(message, given);
    let waiting;
    this.flush();
    try {
      waiting = this.#native.send(this.#id, text, fd);
    } catch (error) {
      return this.#failed(this.sendError(fromNative(error)), done);
    }
    if (fd !== undefined && !options?.keepOpen) giveAway(given);
    if (done) process.nextTick(done, null);
    return waiting < HIGH_WATER;
  }

  /** Calls `tell(message)` for each message of the application in `text`. */
  read(text, tell) {
    for (const message of this.#serialization.read(text)) {
      if (!this.#received.hear(message)) tell(message);
    }
  }

  /** Opens the handle `fd` that came with `text`, and calls `tell(message, handle)`. */
  readWithHandle(text, fd, tell) {
    const cut = text.indexOf('\n');
    const known = JSON.parse(text.slice(0, cut));
    const { kind, key, message } = this.#serialization.readWithHandle(known, text.slice(cut + 1));
    const handle = openHandle(kind, fd);
    if (typeof key === 'string' && handle instanceof net.Socket) this.#received.add(key, handle);
    tell(message, handle);
  }

  /** Why nothing can be sent, if that is known. */
  refusal() {
    return undefined;
  }

  /** What the application is told of an error. */
  sendError(error) {
    return error;
  }

  /** Says a line later in this turn, together with others, in order; one that can't be said is dropped. */
  post(text) {
    if (this.#posted.push(text) === 1) process.nextTick(() => this.flush());
  }

  flush() {
    if (this.#posted.length === 0) return;
    const posted = this.#posted;
    this.#posted = [];
    try {
      for (const text of this.#serialization.joined(posted)) this.#native.send(this.#id, text);
    } catch (error) {
      if (this.listenerCount('error') > 0) process.nextTick(() => this.emit('error', fromNative(error)));
    }
  }

  kill(signal = 'SIGTERM') {
    const number = typeof signal === 'number' ? signal : signals[String(signal).toUpperCase()];
    if (number === undefined) throw nodeError(TypeError, 'ERR_UNKNOWN_SIGNAL', `Unknown signal: ${signal}`);
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

  #failed(error, done) {
    if (done) process.nextTick(done, error);
    else if (this.listenerCount('error') > 0) process.nextTick(() => this.emit('error', error));
    return false;
  }

  // The text to send and the descriptor beside it. What Node refuses is refused with Node's codes.
  #envelope(message, handle) {
    if (message === undefined) {
      throw nodeError(TypeError, 'ERR_MISSING_ARGS', 'The "message" argument must be specified');
    }
    if (!SENDABLE.includes(typeof message)) {
      const rule = `The "message" argument must be one of type ${SENDABLE.join(', ')}`;
      throw nodeError(TypeError, 'ERR_INVALID_ARG_TYPE', rule);
    }
    if (!handle) return [this.#serialization.write(message), undefined];
    const described = describeHandle(handle);
    if (!described) throw nodeError(TypeError, 'ERR_INVALID_HANDLE_TYPE', 'This handle type cannot be sent');
    const { kind, fd, dgramType } = described;
    if (!(fd >= 0)) return [this.#serialization.write(message), undefined];
    return [this.#serialization.write({ cmd: 'NODE_HANDLE', type: kind, dgramType, msg: message }), fd];
  }
}

// Libraries ask whether it is one. What a ChildProcess does with a process of its own is done above.
Object.setPrototypeOf(WorkerProcess.prototype, ChildProcess.prototype);

module.exports = { WorkerProcess };
