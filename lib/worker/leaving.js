// The end of a process that serves: its connections first, then what the application has to do, then the process.
//
// lib/worker/worker.js makes one when the worker starts, lib/single.js in a process without workers. Where the
// application has nothing to do, the process ends at once after the last answer; else it ends when its loop is empty,
// and at the latest soon after the deadline. Owns the process's exit.
'use strict';

const { setImmediate, setTimeout } = require('../shared/timers');

// How long closing frames and last bytes may take once the deadline has come.
const LAST_BYTES_MS = 100;
// How long the application may go on: after the deadline, if connections held the process until then; and if all that
// it has to do is what follows its `await c.shutdown()`.
const LAST_WORDS_MS = 2000;

class Leaving {
  #servers;
  #ending;
  #lateMs;
  #exit;
  #signal = 'SIGTERM';

  /** `exit()` ends the process. */
  constructor(servers, ending, { killTimeout }, exit) {
    this.#servers = servers;
    this.#ending = ending;
    this.#exit = exit;
    this.#lateMs = Math.min(killTimeout / 2, LAST_WORDS_MS);
  }

  /**
   * Lets nothing new in, answers everything, and has the process end. The application's listeners for `signal` are
   * told; `isAwaited` says that the application waits for this, and may have something to do.
   */
  async begin(signal, isAwaited = false) {
    this.#signal = signal;
    await this.#servers.drain();
    // One turn more, so that 'close' handlers have run.
    setImmediate(() => this.#finish(isAwaited));
  }

  /** The deadline has come. Gives a sentence on what still held the process, or undefined. */
  endNow() {
    const held = this.#servers.endNow();
    const isLate = this.#ending.isNeeded && !this.#ending.isBegun;
    if (isLate) setTimeout(() => this.#finish(), LAST_BYTES_MS);
    setTimeout(this.#exit, LAST_BYTES_MS + (isLate ? this.#lateMs : 0)).unref();
    return held;
  }

  async #finish(isAwaited) {
    if (!this.#ending.isNeeded) {
      if (!isAwaited) this.#exit();
      setTimeout(this.#exit, LAST_WORDS_MS).unref();
    }
    await this.#ending.run(this.#signal);
    // From here on only what the application keeps going holds the process.
    process.channel?.unref();
  }
}

module.exports = { Leaving };
