// Whether this worker has lately accepted clearly more connections than the others.
//
// lib/worker/serving/neighbours.js makes one and asks it. Workers say in the header of the scoreboard how many
// connections they have ever accepted, and the master says there who takes part. What counts is a short window, so
// that nobody has to catch up on what was long ago.
'use strict';

const { clock } = require('../counting/scoreboard');

const WINDOW_MS = 1000;
// More than the mean by so many, and so many times its root: chance alone seldom does that.
const LEAD = 4;
const ROOTS = 1.2;

class FairShare {
  #header;
  #places;
  #row;
  #until = 0;
  // What each had accepted when the window began, by row.
  #before = new Map();

  constructor(board) {
    this.#header = board.header;
    this.#places = board.layout.header;
    this.#row = board.row;
  }

  /** Whether this worker has accepted more since the window began than chance would give it. */
  isAhead() {
    const now = clock();
    if (now >= this.#until) this.#begin(now);
    let sum = 0;
    let count = 0;
    for (const [row, before] of this.#before) {
      sum += this.#accepted(row) - before;
      count += 1;
    }
    const mean = sum / count;
    const own = this.#accepted(this.#row) - (this.#before.get(this.#row) ?? Infinity);
    return own > mean + LEAD + ROOTS * Math.sqrt(mean);
  }

  #begin(now) {
    const { takers, takerRows } = this.#places;
    const rows = this.#header.subarray(takerRows, takerRows + this.#header[takers]);
    this.#before.clear();
    for (const row of rows) this.#before.set(row, this.#accepted(row));
    this.#until = now + WINDOW_MS;
  }

  #accepted(row) {
    return this.#header[this.#places.accepted + row];
  }
}

module.exports = { FairShare };
