// Random numbers that are the same for the same seed: mulberry32, which is 32 bits of state and good enough for faults.
'use strict';

class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 up to, but not including, 1. */
  next() {
    this.#state = (this.#state + 0x6D2B79F5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(low, high) {
    return low + this.next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low, high) {
    return Math.floor(this.between(low, high + 1));
  }

  chance(share) {
    return this.next() < share;
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  /** The gap between two things that happen independently of each other, `mean` apart. */
  gap(mean) {
    return -mean * Math.log(1 - this.next());
  }

  /** Another sequence: what is drawn from it does not move what is drawn here later. */
  branch() {
    return new Random(this.whole(0, 2 ** 32 - 1));
  }
}

module.exports = { Random };
