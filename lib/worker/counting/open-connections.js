// The connections that are open now, and when each was opened.
//
// lib/worker/counting/traffic.js owns the one list of a process; lib/worker/drain/drain.js goes through it and follows
// it. The list is an array, in which each socket knows its place and the last one takes the place of the one that goes:
// a Map's tables are replaced every few dozen connections, and each table that lives until the next collection of young
// objects keeps the sockets of its time alive, with all that they refer to.
'use strict';

const { isSentAway } = require('../../shared/node-internals');

const kPlace = Symbol('cluster2.open.place');
const NOWHERE = -1;

class OpenConnections {
  #sockets = [];
  #since = [];
  #next = 0;
  #forget;
  /** `{opened(socket), closed()}` is told of each change, if it is set. */
  follower = undefined;

  /** `forget(socket)` is to remove one that is open no more. */
  constructor(forget) {
    this.#forget = forget;
  }

  get size() {
    return this.#sockets.length;
  }

  [Symbol.iterator]() {
    return this.#sockets.slice()[Symbol.iterator]();
  }

  /**
   * Notes that `socket` was opened at `now`; without a time, that it was given to a server and not accepted. Gives
   * whether it is new here.
   */
  add(socket, now) {
    if (this.has(socket)) {
      if (now !== undefined) this.#since[socket[kPlace]] = now;
      return false;
    }
    socket[kPlace] = this.#sockets.length;
    this.#sockets.push(socket);
    this.#since.push(now);
    if (this.follower !== undefined) this.follower.opened(socket);
    return true;
  }

  has(socket) {
    return socket[kPlace] > NOWHERE;
  }

  /** Forgets `socket`; gives when it was opened, or undefined if it was not accepted or isn't here. */
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
    if (this.follower !== undefined) this.follower.closed();
    return since;
  }

  /** Has those forgotten that the application has sent to another process: they say no more here. */
  forgetSent() {
    for (const socket of this) {
      if (isSentAway(socket)) this.#forget(socket);
    }
  }

  /** Visits the next `most` at the most; from call to call all have their turn, but for one that changed its place. */
  visit(most, visitor) {
    if (this.#next >= this.#sockets.length) this.#next = 0;
    const end = Math.min(this.#next + most, this.#sockets.length);
    for (; this.#next < end; this.#next += 1) visitor(this.#sockets[this.#next]);
  }
}

module.exports = { OpenConnections };
