// Counts the connections that close within a second: this tells clients that stay from those that come for one request.
//
// lib/worker/counting/traffic.js tells it of each connection that closes; lib/worker/serving/balance.js and
// lib/worker/serving/fair-share.js ask it.
'use strict';

const SOON_MS = 1000;

class ShortConnections {
  #window = 0;
  #count = 0;
  #before = 0;

  /** A connection has closed. */
  closed(openedAt, now) {
    if (now - openedAt >= SOON_MS) return;
    this.#turnTo(now);
    this.#count += 1;
  }

  /** How many closed soon in the last one to two seconds. */
  recent(now) {
    this.#turnTo(now);
    return this.#count + this.#before;
  }

  #turnTo(now) {
    const window = Math.floor(now / SOON_MS);
    // A closing connection may bring a time that is older than the one of the last question.
    if (window <= this.#window) return;
    this.#before = window === this.#window + 1 ? this.#count : 0;
    this.#count = 0;
    this.#window = window;
  }
}

module.exports = { ShortConnections };
