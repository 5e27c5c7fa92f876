// Writes the last requests of a worker into its row, where the master finds them after a crash: method, path without
// query, times, status.
//
// lib/worker/counting/requests.js tells it of each request. Entries of requests that have ended are used again first.
// So a request under way stays in the row however many come after it, unless all entries are of requests under way.
'use strict';

/**
 * A recorder that writes into the row of `board`; functions with variables, for the sake of
 * lib/worker/counting/requests.js.
 */
function flightRecorder({ numbers, layout }) {
  const { at: first, entries, words, textSize } = layout.ring;
  // Words of an entry.
  const { start: startAt, end: endAt, status: statusAt, length: lengthAt, text: textAt } = layout.ring;
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  // Which request an entry is about.
  const owners = new Array(entries).fill(undefined);
  let last = 0;

  /** Records the beginning of a request; gives its entry. */
  function begin(now, method, url, owner) {
    const entry = next();
    const at = first + entry * words;
    // Not to be read while it is half written.
    numbers[at + startAt] = 0;
    numbers[at + endAt] = 0;
    numbers[at + statusAt] = 0;
    numbers[at + lengthAt] = write((at + textAt) * 8, method, url);
    numbers[at + startAt] = now;
    owners[entry] = owner;
    return entry;
  }

  /** The request has ended; 0 is no status. */
  function end(now, owner, status) {
    const { entry } = owner;
    if (owners[entry] !== owner) return;
    const at = first + entry * words;
    numbers[at + statusAt] = status;
    numbers[at + endAt] = now;
    owners[entry] = undefined;
  }

  /** The connection has ended, and with it all its requests. */
  function endAll(now, connection) {
    for (const owner of owners) {
      if (owner?.connection === connection) end(now, owner, 0);
    }
  }

  function next() {
    let entry = last;
    for (let tries = 0; tries < entries; tries += 1) {
      entry = entry + 1 === entries ? 0 : entry + 1;
      if (owners[entry] === undefined) break;
    }
    last = entry;
    return entry;
  }

  function write(at, method, url) {
    const limit = at + textSize;
    let place = at;
    for (let from = 0; from < method.length && place < limit; from += 1) bytes[place++] = method.charCodeAt(from);
    if (place < limit) bytes[place++] = 32;
    for (let from = 0; from < url.length && place < limit; from += 1) {
      const code = url.charCodeAt(from);
      // The query and what follows may hold secrets.
      if (code === 63 || code === 35) break;
      bytes[place++] = code;
    }
    return place - at;
  }

  return { begin, end, endAll };
}

module.exports = { flightRecorder };
