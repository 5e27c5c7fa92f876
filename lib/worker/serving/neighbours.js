// Has this worker's servers accept from the queues of other slots too, so that a client whose own slot is busy is
// served by a worker that is idle.
//
// lib/worker/adopt-servers.js makes one in each worker; lib/worker/serving/servers.js says when a server listens. The
// master decides whose queues (src/supervisor/connections/overlap.rs) and sends their sockets. A connection that
// comes in at one of them goes the way of those at the server's own socket, so nobody can tell them apart. A worker
// that has lately taken more than the others leaves its neighbours' queues alone for a moment: else, while all are
// busy, the one that happens to run takes nearly everything. The file owns the sockets of others: it closes them when
// the server closes its own.
'use strict';

const { acceptAlso, handleOf, onClose, onClusterMessage } = require('../../shared/node-internals');
const { INTERNAL, tell } = require('../send-to-master');
const { FairShare } = require('./fair-share');
const { setTimeout } = require('../../shared/timers');

// How often it looks whether it has taken too much: after so many connections of others.
const LOOK_EVERY = 4;
// How long it leaves queues alone before it looks again.
const PAUSE_MS = 20;

/** A server's own socket, and those of others from which it accepts too. */
class Loan {
  #own;
  #others = new Map();
  #isAccepting = false;
  #isClosed = false;
  #onTaken;

  /** `onTaken()` is called after each connection that came in at another slot. */
  constructor(own, onTaken) {
    this.#own = own;
    this.#onTaken = onTaken;
  }

  get own() {
    return this.#own;
  }

  /** The server accepts, so it may do so from others' sockets. */
  begin() {
    this.#isAccepting = true;
    for (const other of this.#others.values()) this.#accept(other);
  }

  watch(slot, other) {
    if (this.#isClosed) {
      other.handle.close();
      return;
    }
    this.unwatch(slot);
    this.#others.set(slot, other);
    if (this.#isAccepting) this.#accept(other);
  }

  unwatch(slot) {
    this.#others.get(slot)?.handle.close();
    this.#others.delete(slot);
  }

  unwatchAll() {
    for (const slot of this.#others.keys()) this.unwatch(slot);
  }

  close() {
    this.#isClosed = true;
    this.unwatchAll();
  }

  #accept({ handle, backlog }) {
    acceptAlso(this.#own, handle, { backlog, onTaken: this.#onTaken });
  }
}

class Neighbours {
  // By the master's key.
  #loans = new Map();
  #share;
  #taken = 0;
  #isPausing = false;

  /** `board` is this worker's scoreboard; `shortConnections` counts those that close soon. */
  constructor(board, shortConnections) {
    this.#share = board.isShared ? new FairShare(board, shortConnections) : undefined;
    // Before Node's own listener, which gives the socket to the server in the same turn.
    onClusterMessage((message, handle) => {
      if (message?.cmd === INTERNAL) this.#obey(message, handle);
      else if (handle && message?.key && message.ack !== undefined) this.#lent(message.key, handle);
    }, true);
  }

  /** This server accepts from now on. */
  listens(server) {
    const own = handleOf(server);
    for (const loan of this.#loans.values()) {
      if (loan.own === own) loan.begin();
    }
  }

  #lent(key, own) {
    const loan = new Loan(own, () => this.#onTaken());
    this.#loans.set(key, loan);
    // Once Node has given the socket a way to close of its own.
    process.nextTick(() => onClose(own, () => {
      loan.close();
      this.#loans.delete(key);
    }));
  }

  #obey({ act, key, slot, backlog }, handle) {
    const loan = this.#loans.get(key);
    if (act === 'watch' && handle) {
      if (loan && !this.#isPausing) loan.watch(slot, { handle, backlog });
      else handle.close();
    }
    if (act === 'unwatch') {
      loan?.unwatch(slot);
      tell({ act: 'unwatched', key, slot });
    }
  }

  #onTaken() {
    this.#taken += 1;
    if (this.#taken % LOOK_EVERY !== 0 || this.#isPausing || !this.#share?.isAhead()) return;
    this.#isPausing = true;
    for (const loan of this.#loans.values()) loan.unwatchAll();
    tell({ act: 'ahead', isAhead: true });
    this.#pause();
  }

  // Until it is ahead no more; the master then sends the sockets again.
  #pause() {
    setTimeout(() => {
      if (this.#share.isAhead()) this.#pause();
      else this.#isPausing = !tell({ act: 'ahead', isAhead: false });
    }, PAUSE_MS).unref();
  }
}

module.exports = { Neighbours };
