// Gives connections back to the master that are too many: fresh ones, before anything is read from them.
//
// lib/worker.js makes one, lib/service.js hands over each server when it listens. The kernel spreads connections by chance,
// which is uneven where they are few and stay long. So each one that comes is compared: the master names, in the header
// of the scoreboard, the workers that take part, and each of these shows there how many it has open. Who would have
// clearly more than the one with the fewest holds the newcomer for a moment, in which others that are behind catch up,
// and if it still is too many, sends it to the master, which gives it to the worker with the fewest.
// Where connections come and go within a second, nothing of this happens: such clients are as well off anywhere, and a
// detour would cost them time. What was handed over by the master stays, so nothing travels twice.
// Invariant: a connection is served by this worker unless it was sent off for certain.
'use strict';

const { clock } = require('./scoreboard');
const { INTERNAL } = require('./tell');

// How many more than the worker with the fewest are too many: so many, or this part of the mean.
const SLACK = 2;
const SLACK_SHARE = 0.25;
// For how long a connection is held that seems too many.
const HOLD_MS = 3;
// How many may be given back at once, and from then on in a second, so that the master's part is bounded.
const MOST = 24;
const PER_SECOND = 10;

class Balance {
  #board;
  #turnover;
  #places;
  #held = [];
  #sent = new Set();
  #handed = new WeakSet();
  #left = MOST;
  #leftAt = 0;
  #isOver = false;
  #isWatching = false;

  /** `board` is this worker's; `turnover` tells how soon its connections close. */
  constructor(board, turnover) {
    this.#board = board;
    this.#turnover = turnover;
    this.#places = board.layout.header;
  }

  /** Compares what this net.Server accepts from now on, if it accepts from a TCP socket of its own. */
  watch(listener) {
    const handle = listener._handle;
    if (!this.#board.isShared || handle?.constructor.name !== 'TCP') return;
    const { onconnection } = handle;
    if (typeof onconnection !== 'function') return;
    this.#watchMaster();
    handle.onconnection = (status, client) => {
      const serve = () => Reflect.apply(onconnection, handle, [status, client]);
      if (status === 0 && client && this.#isSuspect() && !this.#handed.has(client)) this.#hold({ client, serve });
      else serve();
    };
  }

  /** Serves what is held, and gives nothing back any more. */
  end() {
    this.#isOver = true;
    for (const { serve } of this.#held.splice(0)) serve();
  }

  // Before Node's own listener, which hands the connection over in the same turn.
  #watchMaster() {
    if (this.#isWatching) return;
    this.#isWatching = true;
    process.prependListener('internalMessage', (message, handle) => {
      if (message?.act === 'newconn' && handle) this.#handed.add(handle);
    });
    // Nobody is left who would take it; what is in the queue to the master will never leave.
    process.once('disconnect', () => {
      this.end();
      for (const entry of this.#sent) this.#keep(entry);
    });
  }

  // For most connections the first comparison is the last.
  #isSuspect() {
    const own = this.#board.get('connectionsOpen') + this.#held.length;
    if (own < SLACK || this.#isOver) return false;
    const loads = this.#loads();
    return isTooMany(own + 1, loads) && own >= this.#turnover.recent(clock());
  }

  #hold(entry) {
    this.#held.push(entry);
    if (this.#held.length === 1) setTimeout(() => this.#decide(), HOLD_MS);
  }

  #decide() {
    const { header } = this.#board;
    const loads = this.#loads();
    const takers = this.#takers();
    const me = takers.indexOf(this.#board.row);
    const held = this.#held.splice(0);
    const stays = me < 0 || this.#turnover.recent(clock()) > header[this.#places.loads + this.#board.row];
    for (const entry of held) {
      if (stays || !isTooMany(loads[me] + 1, loads) || !this.#mayGive()) {
        if (me >= 0) loads[me] += 1;
        entry.serve();
      } else {
        loads[loads.indexOf(Math.min(...loads))] += 1;
        this.#give(entry);
      }
    }
  }

  #give(entry) {
    this.#sent.add(entry);
    process.send({ cmd: INTERNAL, act: 'excess' }, entry.client, {}, (error) => {
      if (error) this.#keep(entry);
      else if (this.#sent.delete(entry)) entry.client.close();
    });
  }

  #keep(entry) {
    if (this.#sent.delete(entry)) entry.serve();
  }

  #mayGive() {
    const now = clock();
    this.#left = Math.min(MOST, this.#left + (now - this.#leftAt) * (PER_SECOND / 1000));
    this.#leftAt = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  #takers() {
    const { header } = this.#board;
    const { takers, takerRows } = this.#places;
    return header.subarray(takerRows, takerRows + header[takers]);
  }

  #loads() {
    const { header } = this.#board;
    const { loads } = this.#places;
    return Array.from(this.#takers(), (row) => header[loads + row]);
  }
}

// Whether `own` is clearly more than the fewest of `loads`.
function isTooMany(own, loads) {
  if (loads.length < 2) return false;
  let fewest = Infinity;
  let sum = 0;
  for (const load of loads) {
    sum += load;
    if (load < fewest) fewest = load;
  }
  return own - fewest > Math.max(SLACK, SLACK_SHARE * (sum / loads.length));
}

module.exports = { Balance };
