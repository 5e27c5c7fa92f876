// `cluster2 top`: the table of `status`, again and again, on a screen of its own; plain text where nobody looks.
//
// Owns the terminal's state while it runs (the other screen, the hidden cursor, keys without Enter) and gives it back
// however it ends.
'use strict';

const { number } = require('./arguments');
const { describe } = require('./status-text');
const { find, all } = require('./masters');
const { print } = require('./stdout');

// How many of the last things that happened stand below the table.
const EVENTS = 3;
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const REST_OF_LINE = '\x1b[K';
const REST_OF_SCREEN = '\x1b[J';
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'];

async function top(asked) {
  const { interval = '1', count } = asked.options;
  const pause = number('top', '--interval', interval, 0.1) * 1000;
  let left = count === undefined ? Infinity : number('top', '--count', count, 1);
  const screen = process.stdout.isTTY ? new Screen() : new Paper();
  let first = true;
  try {
    // The last look may find that the cluster has gone: that is told like any other failure, on the screen of before.
    while (left > 0 && !screen.isLeft) {
      const masters = await find(asked);
      await all(masters, () => {});
      // Before anything is drawn, so that what is wrong at the start leaves the screen as it is.
      if (first) screen.enter();
      first = false;
      const rows = Math.floor(screen.rows / masters.length);
      screen.show(masters.map(({ status }) => describe(status, { rows, events: EVENTS })).join('\n\n'));
      left -= 1;
      if (left > 0) await screen.wait(pause);
    }
  } finally {
    screen.leave();
  }
}

/** Not a terminal: one table after the other. */
class Paper {
  rows = Infinity;
  isLeft = false;

  enter() {}

  show(text) {
    print(`${text}\n`);
  }

  wait(ms) {
    return new Promise((resolve) => { setTimeout(resolve, ms); });
  }

  leave() {}
}

/** A terminal, from `enter` to `leave`. */
class Screen {
  #wake = () => {};
  #isIn = false;
  isLeft = false;

  get rows() {
    // Two are for the foot. Terminals whose size nobody has set say that it is 0.
    return (process.stdout.rows || 24) - 2;
  }

  enter() {
    this.#isIn = true;
    process.stdout.write(ENTER);
    for (const signal of ENDING) process.on(signal, this.#quit);
    process.stdout.on('resize', this.#again);
    if (process.stdin.isTTY) {
      process.stdin.setRawMode(true);
      process.stdin.on('data', this.#key).resume();
    }
  }

  show(text) {
    const width = process.stdout.columns || 80;
    const lines = [...text.split('\n'), '', 'q ends'].map((line) => line.slice(0, width) + REST_OF_LINE);
    process.stdout.write(HOME + lines.join('\n') + REST_OF_SCREEN);
  }

  /** Until the time is over, a key ends it, or the window has another size. */
  wait(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  leave() {
    if (!this.#isIn) return;
    this.#isIn = false;
    if (process.stdin.isTTY) {
      process.stdin.setRawMode(false);
      process.stdin.off('data', this.#key).pause();
    }
    process.stdout.off('resize', this.#again);
    for (const signal of ENDING) process.off(signal, this.#quit);
    process.stdout.write(LEAVE);
  }

  #quit = () => {
    this.isLeft = true;
    this.#wake();
  };

  #again = () => this.#wake();

  #key = (bytes) => {
    // Ctrl-C is a byte like any other in this mode.
    if (['q', 'Q', '\x03', '\x04'].includes(String(bytes))) this.#quit();
  };
}

module.exports = { top };
