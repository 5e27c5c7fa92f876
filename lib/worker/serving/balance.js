// Gives fresh connections back to the master when this worker has too many, before anything is read from them.
//
// lib/worker/worker.js and lib/node-cluster/agent.js make one, and lib/worker/serving/servers.js calls it for each
// server that listens. The kernel spreads connections by chance, which is uneven where they are few and stay long. So
// the worker compares each new connection: the master names, in the header of the scoreboard, the workers that take
// part, and each of these shows there how many connections it has. A worker that already has clearly more connections
// than the least loaded one holds a new connection for 20 ms at most, so that the others can catch up. If it still
// has too many, it sends the connection to the master, which gives it to the least loaded worker. Where connections
// come and go within a second, the worker compares nothing: such clients are as well off anywhere, and a detour would
// cost them time. A connection that the master handed over stays, so none is given back twice.
// Invariant: this worker keeps a connection until the master says that it has arrived, and serves it if it has not.
'use strict';

const { clock, takersOf } = require('../counting/scoreboard');
const { onClusterMessage, replaceAccept } = require('../../shared/node-internals');
const { INTERNAL, send } = require('../send-to-master');
const { setTimeout } = require('../../shared/timers');

// How many more than the worker with the fewest are too many: so many, or this part of the mean, whichever is more.
const SLACK = 2;
const SLACK_SHARE = 0.1;
// How long a look at the others is good for: they may lose connections meanwhile.
const LOOK_MS = 10;
// How long a connection that seems too many is held until the next look at the others, and how many looks there are at
// most while the others' numbers still change.
const HOLD_MS = 4;
const LOOKS = 5;
// How many may be given back at once, and how many more with every second, so that the master's part is bounded.
const MOST = 64;
const PER_SECOND = 10;

class Balance {
  #board;
  #shortConnections;
  #send;
  #places;
  #held = [];
  // By the number under which each was sent.
  #sent = new Map();
  #whenSettled = () => {};
  #lastSent = 0;
  #handed = new WeakSet();
  #left = MOST;
  #leftAt = 0;
  #isOver = false;
  #isWatching = false;
  // How many connections this worker may have before a new one is held; valid until `#goodUntil`.
  #most = SLACK;
  #goodUntil = 0;

  /**
   * `board` is this worker's; `shortConnections` counts those that close soon;
   * `sendToMaster(message, handle, callback)` gives one back.
   */
  constructor(board, shortConnections, sendToMaster = send) {
    this.#board = board;
    this.#shortConnections = shortConnections;
    this.#send = sendToMaster;
    this.#places = board.layout.header;
  }

  /** Compares what this net.Server accepts from now on, if it accepts from a TCP socket that the master lent. */
  watch(listener) {
    if (!this.#board.isShared) return;
    replaceAccept(listener, (accept) => this.#compared(accept));
  }

  /** Serves what is held, and gives nothing back any more. */
  end() {
    this.#isOver = true;
    for (const entry of this.#held.splice(0)) this.#serve(entry);
  }

  /** Whether the master has answered for all that was given back. */
  get isSettled() {
    return this.#sent.size === 0;
  }

  /** Resolves when it has; what it did not take is served by then. */
  async settled() {
    if (this.isSettled) return;
    await new Promise((resolve) => { this.#whenSettled = resolve; });
  }

  #compared(accept) {
    this.#watchMaster();
    const { header } = this.#board;
    const own = this.#ownPlace();
    return (status, client) => {
      const open = header[own] + 1;
      // For most connections this is all. A timer that forgets the last look would cost more than looks at the clock.
      const isFew = open <= SLACK || (open <= this.#most && clock() <= this.#goodUntil);
      if (isFew || status !== 0 || !client || !this.#isSuspect() || this.#handed.has(client)) accept(status, client);
      else this.#hold({ client, serve: () => accept(status, client) });
    };
  }

  // Before Node's own listener, which hands the connection over in the same turn.
  #watchMaster() {
    if (this.#isWatching) return;
    this.#isWatching = true;
    onClusterMessage((message, handle) => {
      if (message?.act === 'newconn' && handle) this.#handed.add(handle);
      if (message?.cmd === INTERNAL && message.act === 'excess') this.#settle(message.ack, message.isTaken);
    }, true);
    // Nobody is left who would take it; what is in the queue to the master will never leave.
    process.once('disconnect', () => {
      this.end();
      for (const number of this.#sent.keys()) this.#settle(number, false);
    });
  }

  // Looks at the others; who comes before the next look is compared with what was seen.
  #isSuspect() {
    const now = clock();
    this.#most = this.#lookAround(now);
    this.#goodUntil = now + LOOK_MS;
    return this.#own() + 1 > this.#most;
  }

  #lookAround(now) {
    if (this.#isOver || !this.#mayHold(now)) return Infinity;
    const recent = this.#shortConnections.recent(now);
    return this.#own() < recent ? recent : mostOf(this.#loads());
  }

  #hold(entry) {
    this.#held.push(entry);
    this.#board.addLoad(1);
    if (!this.#mayHold(clock())) this.#most = Infinity;
    if (this.#held.length === 1) this.#lookAgain(this.#loads(), LOOKS);
  }

  #lookAgain(before, looks) {
    setTimeout(() => {
      const loads = this.#loads();
      const isChanging = loads.some((load, at) => load !== before[at]);
      if (isChanging && looks > 1 && this.#held.length > 0) this.#lookAgain(loads, looks - 1);
      else this.#decide(loads);
    }, HOLD_MS);
  }

  #decide(loads) {
    const me = takersOf(this.#board).indexOf(this.#board.row);
    const held = this.#held.splice(0);
    const stays = me < 0 || this.#shortConnections.recent(clock()) > this.#own();
    for (const entry of held) {
      if (stays || loads[me] <= mostOf(loads) || this.#mayGive(clock()) < 1) {
        this.#serve(entry);
      } else {
        this.#left -= 1;
        loads[me] -= 1;
        loads[loads.indexOf(Math.min(...loads))] += 1;
        this.#give(entry);
      }
    }
  }

  // The load is taken off here, since counting adds it again when the connection is served.
  #serve(entry) {
    this.#board.addLoad(-1);
    entry.serve();
  }

  #give(entry) {
    this.#board.addLoad(-1);
    this.#lastSent += 1;
    const seq = this.#lastSent;
    this.#sent.set(seq, entry);
    this.#send({ cmd: INTERNAL, act: 'excess', seq }, entry.client, (error) => {
      if (error) this.#settle(seq, false);
    });
  }

  #settle(number, isTaken) {
    const entry = this.#sent.get(number);
    if (!this.#sent.delete(number)) return;
    if (isTaken) entry.client.close();
    else entry.serve();
    if (this.isSettled) this.#whenSettled();
  }

  // What can't be given need not wait.
  #mayHold(now) {
    return this.#mayGive(now) >= this.#held.length + 1;
  }

  // How many may be given back now.
  #mayGive(now) {
    this.#left = Math.min(MOST, this.#left + (now - this.#leftAt) * (PER_SECOND / 1000));
    this.#leftAt = now;
    return this.#left;
  }

  // Those that are held included.
  #own() {
    return this.#board.header[this.#ownPlace()];
  }

  #ownPlace() {
    return this.#places.loads + this.#board.row;
  }

  // In plain loops, since thousands of connections right after the start find this code cold.
  #loads() {
    const { header } = this.#board;
    const { loads } = this.#places;
    const found = [];
    for (const row of takersOf(this.#board)) found.push(header[loads + row]);
    return found;
  }
}

// More than these are too many for one of the workers that have `loads`.
function mostOf(loads) {
  if (loads.length < 2) return Infinity;
  let sum = 0;
  let fewest = Infinity;
  for (const load of loads) {
    sum += load;
    fewest = Math.min(fewest, load);
  }
  return fewest + Math.max(SLACK, SLACK_SHARE * sum / loads.length);
}

module.exports = { Balance };
