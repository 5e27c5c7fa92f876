// Keeps the event loop of the primary alive as long as Node's own would, since nothing of a worker is in that loop.
//
// lib/node-cluster/forked-process.js takes two holds per worker: one until its process has ended, one until its channel
// has. Owns one timer, which keeps the loop alive while a hold is active.
'use strict';

const { setInterval } = require('../shared/timers');

const LONGEST_MS = 2 ** 31 - 1;

class KeepAlive {
  #active = 0;
  #timer;

  /** A hold, which is active. */
  hold() {
    return new Hold((change) => this.#count(change));
  }

  #count(change) {
    this.#active += change;
    this.#timer ??= setInterval(() => {}, LONGEST_MS);
    if (this.#active > 0) this.#timer.ref();
    else this.#timer.unref();
  }
}

class Hold {
  #count;
  #isActive = false;
  #isOver = false;

  constructor(count) {
    this.#count = count;
    this.ref();
  }

  ref() {
    this.#set(!this.#isOver);
  }

  unref() {
    this.#set(false);
  }

  /** What was waited for has come. */
  end() {
    this.#isOver = true;
    this.unref();
  }

  #set(isActive) {
    if (isActive === this.#isActive) return;
    this.#isActive = isActive;
    this.#count(isActive ? 1 : -1);
  }
}

module.exports = { KeepAlive };
