// What the application has to do at the end of its process, and when it is done.
//
// lib/master/master.js, lib/worker/leaving.js and lib/single.js call it once the last answer is out. Three things may
// be to do: what was given to `c.cleanup`, the `close()` of an app that was handed over, and the application's
// listeners for SIGTERM and SIGINT. A real signal does not reach those listeners when it comes, since one of them may
// well end the process. The file owns a listener for each of the two signals.
'use strict';

const net = require('node:net');
const { constants: { signals } } = require('node:os');

const { interceptSignals } = require('./node-internals');

const HEARD = ['SIGTERM', 'SIGINT'];
const unheard = () => {};

class Ending {
  #cleanups;
  #warn;
  #apps = [];
  #isLetThrough = false;
  // Whether the application's listeners have been called.
  #isTold = false;
  #run;

  /** `cleanups` is the list of what is given to `c.cleanup`; `warn(message)` tells of what fails. */
  constructor(cleanups, warn) {
    this.#cleanups = cleanups;
    this.#warn = warn;
  }

  /** Calls `onSignal(signal)` for each SIGTERM and SIGINT from now on, in the place of the application's listeners. */
  hearSignals(onSignal) {
    interceptSignals(HEARD, unheard, (signal) => {
      if (this.#isLetThrough || (this.#isTold && hasListener(signal))) return false;
      // A listener that has done its work sends the signal again (the package signal-exit and NestJS do).
      if (this.#isTold) process.exit();
      onSignal(signal);
      return true;
    });
  }

  /** Apps were handed over and are served: those with a `close` of their own are closed in the end. */
  serves(apps) {
    const hasClose = (app) => typeof app?.close === 'function' && !(app instanceof net.Server);
    this.#apps.push(...apps.map(({ app }) => app).filter(hasClose));
  }

  /** Whether there is anything to do. */
  get isNeeded() {
    return this.#cleanups.length > 0 || this.#apps.length > 0 || HEARD.some(hasListener);
  }

  /** Whether it has begun. */
  get isBegun() {
    return this.#run !== undefined;
  }

  /** Does it all, the listeners for `signal` last, since they may end the process. Asked again, it is the same. */
  run(signal) {
    this.#run ??= this.#runAll(signal);
    return this.#run;
  }

  async #runAll(signal) {
    for (const cleanup of this.#cleanups) await this.#try('a function given to cleanup()', cleanup);
    for (const app of this.#apps) await this.#try("the app's close()", () => app.close());
    this.#tellListeners(hasListener(signal) ? signal : HEARD.find(hasListener));
    this.#isTold = true;
  }

  async #try(what, task) {
    try {
      await task();
    } catch (error) {
      this.#warn(`${what} failed: ${error?.message ?? error}`);
    }
  }

  // Our own listener is taken off while they run, so that a listener which checks whether it is the only one finds that
  // it is. A signal that it sends again is still heard.
  #tellListeners(signal) {
    if (signal === undefined) return;
    const keepHearing = (name) => {
      if (name === signal && process.listenerCount(signal) === 0) process.on(signal, unheard);
    };
    process.removeListener(signal, unheard);
    process.on('removeListener', keepHearing);
    this.#isLetThrough = true;
    try {
      process.emit(signal, signal, signals[signal]);
    } catch (error) {
      // As it would be if the signal had come now.
      process.nextTick(() => { throw error; });
    } finally {
      this.#isLetThrough = false;
      process.removeListener('removeListener', keepHearing);
      if (!process.listeners(signal).includes(unheard)) process.on(signal, unheard);
    }
  }
}

module.exports = { Ending };

function hasListener(signal) {
  return process.listeners(signal).some((listener) => listener !== unheard);
}
