// The connections that are open now, and when each was opened.
//
// lib/worker/counting/traffic.js owns one. An array, in which each socket knows its place and the last one takes the
// place of the one that goes: a Map's tables go stale with every few dozen connections, and each that the collector
// of young objects meets keeps the sockets of its time alive with all that hangs on them.
'use strict';

const kPlace = Symbol('cluster2.open.place');
const NOWHERE = -1;

class OpenConnections {
  #sockets = [];
  #since = [];
  #next = 0;

  /** Notes that `socket` was opened at `now`. */
  add(socket, now) {
    socket[kPlace] = this.#sockets.length;
    this.#sockets.push(socket);
    this.#since.push(now);
  }

  has(socket) {
    return socket[kPlace] > NOWHERE;
  }

  /** Forgets `socket`; gives when it was opened, or undefined if it isn't here. */
  remove(socket) {
    if (!this.has(socket)) return undefined;
    const place = socket[kPlace];
    const since = this.#since[place];
    const last = this.#sockets.pop();
    const lastSince = this.#since.pop();
    if (last !== socket) {
      this.#sockets[place] = last;
      this.#since[place] = lastSince;
      last[kPlace] = place;
    }
    socket[kPlace] = NOWHERE;
    return since;
  }

  /** Visits the next `most` at the most; from call to call all have their turn, but for one that changed its place. */
  visit(most, visitor) {
    if (this.#next >= this.#sockets.length) this.#next = 0;
    const end = Math.min(this.#next + most, this.#sockets.length);
    for (; this.#next < end; this.#next += 1) visitor(this.#sockets[this.#next]);
  }
}

module.exports = { OpenConnections };
