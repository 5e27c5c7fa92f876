// Whether this worker has lately accepted clearly more connections than the others.
//
// lib/worker/serving/neighbours.js makes one and asks it. Workers say in the header of the scoreboard how many
// connections they have ever accepted, and the master says there who takes part. What counts is a window of some
// seconds, so that nobody has to catch up on what was long ago. Workers are compared with the one in their middle: a
// worker that stands still and takes nothing must not make all others leave its queue alone.
'use strict';

const { clock, takersOf } = require('../counting/scoreboard');

// Within a second chance alone spreads few connections as unevenly as a worker that takes too many does.
const WINDOW_MS = 5000;
// A worker is ahead if it exceeds the median by LEAD + ROOTS * sqrt(median) + PART * median; chance alone rarely does
// that.
const LEAD = 2;
const ROOTS = 1.2;
const PART = 0.03;
// Where connections are short, a larger lead is allowed: it is gone within a second, and evening it out costs busy
// workers more than it gains.
const PART_OF_SHORT = 0.05;

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
    const taken = [];
    for (const row of takersOf(this.#board)) {
      const since = this.#accepted(row) - this.#before.get(row);
      // Neither one that came later nor one in the row of a worker that has died can be compared.
      if (since >= 0) taken.push(since);
    }
    const median = medianOf(taken);
    const own = this.#accepted(this.#board.row) - (this.#before.get(this.#board.row) ?? Infinity);
    const part = this.#areShort(own, now) ? PART_OF_SHORT : PART;
    return own > median + LEAD + ROOTS * Math.sqrt(median) + part * median;
  }

  // Whether as many have lately closed soon as were accepted in the same time.
  #areShort(own, now) {
    const seconds = Math.max(1, (now - this.#until + WINDOW_MS) / 1000);
    return this.#shortConnections.recent(now) * seconds >= own;
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

function medianOf(counts) {
  const sorted = counts.sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
