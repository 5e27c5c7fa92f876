// The last requests of a worker, left in its row for the moment after a crash: method, path without query,
// times, status.
//
// lib/traffic.js tells it of each request. Entries of requests that have ended are used again first, so one that is
// under way is still there however many pass it; only when all are under way is one of them given up.
'use strict';

class FlightRecorder {
  #numbers;
  #bytes;
  #ring;
  /** Which request an entry is about. */
  #owners;
  #last = 0;

  constructor(board) {
    this.#numbers = board.numbers;
    this.#bytes = new Uint8Array(board.numbers.buffer, board.numbers.byteOffset, board.numbers.byteLength);
    this.#ring = board.layout.ring;
    this.#owners = new Array(this.#ring.entries).fill(undefined);
  }

  /** Records the beginning of a request; gives its entry. */
  begin(now, method, url, owner) {
    const entry = this.#next();
    const ring = this.#ring;
    const numbers = this.#numbers;
    const at = ring.at + entry * ring.words;
    // Not to be read while it is half written.
    numbers[at + ring.start] = 0;
    numbers[at + ring.end] = 0;
    numbers[at + ring.status] = 0;
    numbers[at + ring.length] = this.#write((at + ring.text) * 8, method, url);
    numbers[at + ring.start] = now;
    this.#owners[entry] = owner;
    return entry;
  }

  /** The request has ended; 0 is no status. */
  end(now, owner, status) {
    const { entry } = owner;
    if (this.#owners[entry] !== owner) return;
    const at = this.#ring.at + entry * this.#ring.words;
    this.#numbers[at + this.#ring.status] = status;
    this.#numbers[at + this.#ring.end] = now;
    this.#owners[entry] = undefined;
  }

  /** The connection has ended, and with it all its requests. */
  endAll(now, connection) {
    for (const owner of this.#owners) {
      if (owner?.connection === connection) this.end(now, owner, 0);
    }
  }

  #next() {
    const { entries } = this.#ring;
    let entry = this.#last;
    for (let tries = 0; tries < entries; tries += 1) {
      entry = entry + 1 === entries ? 0 : entry + 1;
      if (this.#owners[entry] === undefined) break;
    }
    this.#last = entry;
    return entry;
  }

  #write(at, method, url) {
    const bytes = this.#bytes;
    const end = at + this.#ring.textSize;
    let next = at;
    for (let from = 0; from < method.length && next < end; from += 1) bytes[next++] = method.charCodeAt(from);
    if (next < end) bytes[next++] = 32;
    for (let from = 0; from < url.length && next < end; from += 1) {
      const code = url.charCodeAt(from);
      // The query and what follows may hold secrets.
      if (code === 63 || code === 35) break;
      bytes[next++] = code;
    }
    return next - at;
  }
}

module.exports = { FlightRecorder };
