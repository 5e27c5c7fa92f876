// Whether this worker has lately accepted clearly more connections than the others.
//
// lib/worker/serving/neighbours.js makes one and asks it. Workers say in the header of the scoreboard how many
// connections they have ever accepted, and the master says there who takes part. What counts is a short window, so
// that nobody has to catch up on what was long ago.
'use strict';

const { clock, takersOf } = require('../counting/scoreboard');

const WINDOW_MS = 1000;
// More than the mean by so many, so many times its root, and this part of it: chance alone seldom does that.
const LEAD = 2;
const ROOTS = 1.2;
const PART = 0.03;
// The part where connections close soon: who has more of them now has no more in a second, and to be more even would
// cost workers that are all busy more than it brings.
const PART_OF_SHORT = 0.1;

class FairShare {
  #board;
  #shortConnections;
  #clock;
  #until = 0;
  // What each had accepted when the window began, by row.
  #before = new Map();

  /**
   * `board` is this worker's; `shortConnections` counts those that close soon; `now` gives the time in milliseconds.
   */
  constructor(board, shortConnections, now = clock) {
    this.#shortConnections = shortConnections;
    this.#board = board;
    this.#clock = now;
  }

  /** Whether this worker has accepted more since the window began than chance would give it. */
  isAhead() {
    const now = this.#clock();
    if (now >= this.#until) this.#begin(now);
    let sum = 0;
    let count = 0;
    for (const row of takersOf(this.#board)) {
      const taken = this.#accepted(row) - this.#before.get(row);
      // Neither one that came later nor one in the row of a worker that has died can be compared.
      if (!(taken >= 0)) continue;
      sum += taken;
      count += 1;
    }
    const mean = sum / count;
    const own = this.#accepted(this.#board.row) - (this.#before.get(this.#board.row) ?? Infinity);
    const part = this.#shortConnections.recent(now) >= own ? PART_OF_SHORT : PART;
    return own > mean + LEAD + ROOTS * Math.sqrt(mean) + part * mean;
  }

  #begin(now) {
    this.#before.clear();
    for (const row of takersOf(this.#board)) this.#before.set(row, this.#accepted(row));
    this.#until = now + WINDOW_MS;
  }

  #accepted(row) {
    const { header, layout } = this.#board;
    return header[layout.header.accepted + row];
  }
}

module.exports = { FairShare };
