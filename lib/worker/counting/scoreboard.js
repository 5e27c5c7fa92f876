// A worker's row of the scoreboard: numbers in shared memory that the master reads whenever it likes.
//
// lib/shared/whose-worker.js and lib/node-cluster/agent.js open it in a worker before the application runs,
// lib/single.js in a process without workers. Everything that counts writes into it with plain stores. Where there is
// no shared memory the same numbers are kept in ordinary memory for the `heartbeat` event. docs/scoreboard.md says what
// stands where.
'use strict';

const fs = require('node:fs');

const { textOfThrown } = require('../../shared/call-application');
const { performance } = require('../../shared/timers');

const STATES = { starting: 1, serving: 2, draining: 3 };

const offset = monotonicOffset();

/** Now, by CLOCK_MONOTONIC in ms: the clock of the scoreboard. */
function clock() {
  return performance.now() + offset;
}

class Board {
  /** The row as doubles: `numbers[board.at.tick]`. */
  numbers;
  /** Word numbers of the fields, by name. */
  at;
  /** All else that is known of the layout. */
  layout;
  /** What the master writes; undefined where nothing is shared. */
  header;
  #bytes;
  // Where this worker's load stands in the header, and what it has accepted.
  #load;
  #accepted;

  /** `place` is `{fd, row}`, or undefined where the master has no scoreboard. */
  constructor(native, place) {
    this.layout = native.scoreboardLayout();
    this.at = this.layout.fields;
    this.problem = undefined;
    this.#open(native, place);
    this.numbers[this.at.pid] = process.pid;
    this.numbers[this.at.startedAt] = performance.timeOrigin;
    this.state = 'starting';
    process.on('uncaughtExceptionMonitor', (error) => this.note(headline(error)));
  }

  /** Whether the master can read it. */
  get isShared() {
    return this.header !== undefined;
  }

  /** The number of the row; undefined where nothing is shared. */
  get row() {
    return this.isShared ? this.#load - this.layout.header.loads : undefined;
  }

  /** 'starting', 'serving' or 'draining'. */
  set state(name) {
    this.numbers[this.at.state] = STATES[name];
  }

  /** The event loop turns. */
  turn(now) {
    this.numbers[this.at.tick] = now;
  }

  /** Adds to a counter. */
  add(field, amount = 1) {
    this.numbers[this.at[field]] += amount;
  }

  get(field) {
    return this.numbers[this.at[field]];
  }

  set(field, value) {
    this.numbers[this.at[field]] = value;
  }

  /** Adds to the load that others see: a connection more, or one fewer. */
  addLoad(more) {
    if (this.header !== undefined) this.header[this.#load] += more;
  }

  /** One more connection was accepted, as others see it. */
  accept() {
    if (this.header === undefined) return;
    this.header[this.#load] += 1;
    this.header[this.#accepted] += 1;
  }

  /** Leaves the text of an error behind, for the moment when this process is gone. */
  note(text) {
    const { length, text: at, textSize } = this.layout.fatal;
    const place = this.#bytes.subarray(at * 8, at * 8 + textSize);
    const { written } = new TextEncoder().encodeInto(text, place);
    this.numbers[length] = written;
  }

  #open(native, place) {
    const { rowSize } = this.layout;
    let bytes = new Uint8Array(rowSize);
    if (place) {
      try {
        const { header, row } = native.openScoreboard(place.fd, place.row);
        this.header = header;
        bytes = row;
        this.#load = this.layout.header.loads + place.row;
        this.#accepted = this.layout.header.accepted + place.row;
        // Mapped, it needs no descriptor, which programs started by the application would inherit.
        fs.closeSync(place.fd);
      } catch (error) {
        this.problem = error;
      }
    }
    this.#bytes = bytes;
    this.numbers = new Float64Array(bytes.buffer, bytes.byteOffset, rowSize / 8);
  }
}

/** The rows of the workers that share connections out among them, as the master says; of a board that is shared. */
function takersOf({ header, layout }) {
  const { takers, takerRows } = layout.header;
  return header.subarray(takerRows, takerRows + header[takers]);
}

module.exports = { Board, clock, headline, takersOf };

/** The first line of what was thrown, which may be anything. */
function headline(error) {
  let text;
  try {
    text = error instanceof Error ? `${error.name}: ${error.message}` : require('node:util').inspect(error);
  } catch {
    text = textOfThrown(error);
  }
  return text.split('\n')[0].slice(0, 500);
}

function monotonicOffset() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6 - performance.now();
}
