// `worker.process` where a program forks for itself: a ChildProcess with stdio, a channel and a hold on the event loop.
//
// lib/node-cluster/primary.js makes one per fork and tells it what the supervisor reports. Owns the primary's ends of
// the worker's pipes, as streams.
'use strict';

const net = require('node:net');

const { nodeError, systemError } = require('./errors');
const serializations = require('./serialization');
const { WorkerProcess } = require('./worker-process');

// libuv's numbers for a channel whose other end is gone.
const EPIPE = -32;

class ForkedProcess extends WorkerProcess {
  #native;
  #id;
  #process;
  #channel;
  // What must end before 'close': the process, the channel, and each pipe that is read.
  #open = 2;

  /**
   * `forked` is what the addon says of the fork, `{id, pid, pipes}` or `{id, errno}`; `launch` what it was asked for.
   */
  constructor(native, forked, launch, keepAlive) {
    super(native, forked.id, forked.pid, serializations[launch.serialization]);
    this.#native = native;
    this.#id = forked.id;
    this.spawnfile = launch.execPath;
    this.spawnargs = [launch.execPath, ...launch.execArgv, launch.script, ...launch.args];
    this.#process = keepAlive.hold();
    this.#channel = keepAlive.hold();
    this.channel = new Channel(this.#channel);
    this.stdio = this.#openPipes(forked.pipes ?? []);
    [this.stdin = null, this.stdout = null, this.stderr = null] = this.stdio;
    if (forked.pid !== undefined) process.nextTick(() => this.emit('spawn'));
    else process.nextTick(() => this.#neverWas(forked.errno));
  }

  ref() {
    this.#process.ref();
  }

  unref() {
    this.#process.unref();
  }

  /** Closes the channel; a worker that does not expect that exits. */
  disconnect() {
    if (!this.connected) {
      this.emit('error', nodeError(Error, 'ERR_IPC_DISCONNECTED', 'IPC channel is already disconnected'));
      return;
    }
    this.connected = false;
    this.#native.closeChannel(this.#id);
  }

  refusal() {
    return this.connected ? undefined : nodeError(Error, 'ERR_IPC_CHANNEL_CLOSED', 'Channel closed');
  }

  sendError(error) {
    return error.code === 'ERR_CLUSTER2_WORKER_GONE' ? systemError(EPIPE, 'write') : error;
  }

  /** The channel has ended. */
  channelEnded() {
    this.connected = false;
    this.channel = null;
    this.#channel.end();
    this.emit('disconnect');
    this.#ended();
  }

  /** The process has ended. */
  exited(code, signal) {
    this.exitCode = code;
    this.signalCode = signal;
    this.stdin?.destroy();
    this.#process.end();
    this.emit('exit', code, signal);
    // What nobody reads would never end.
    process.nextTick(() => this.stdio.forEach((stream) => stream?.readable && stream.resume()));
    this.#ended();
  }

  #neverWas(errno) {
    this.exitCode = errno;
    this.#process.end();
    const { spawnfile: path, spawnargs: [, ...spawnargs] } = this;
    this.emit('error', systemError(errno, `spawn ${path}`, { path, spawnargs }));
    this.#ended();
    this.channelEnded();
  }

  #openPipes(pipes) {
    return pipes.map((fd, number) => {
      if (fd === null) return null;
      const stream = new net.Socket({ fd, readable: number > 0, writable: true });
      if (number > 0) {
        this.#open += 1;
        stream.once('close', () => this.#ended());
      }
      return stream;
    });
  }

  #ended() {
    this.#open -= 1;
    if (this.#open === 0) this.emit('close', this.exitCode, this.signalCode);
  }
}

/** `worker.process.channel`. */
class Channel {
  #hold;

  constructor(hold) {
    this.#hold = hold;
  }

  ref() {
    this.#hold.ref();
  }

  unref() {
    this.#hold.unref();
  }
}

module.exports = { ForkedProcess };
