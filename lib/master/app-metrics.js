// What the application adds to `/metrics`: its functions are asked about once a second, and what they said last is kept
// on the other side of the border.
//
// `c.metrics(fn)` of the master comes here. No scrape waits for this: a function that is slow, or an event loop that is
// blocked, makes the text old and nothing else. It owns one timer, which keeps nothing alive.
'use strict';

const ASK_EVERY_MS = 1000;

class AppMetrics {
  #functions = [];
  #texts = new Map();
  #publish;
  #warn;
  #isBegun = false;
  #isAsking = false;

  /** Asks `fn` from now on; it gives text in Prometheus' format, or a promise of it. */
  add(fn) {
    if (typeof fn !== 'function') throw new TypeError('metrics: a function that gives text is needed');
    this.#functions.push(fn);
    this.#begin();
  }

  /** The cluster runs: `publish(text)` takes what is said, `warn(message)` what goes wrong. */
  start(publish, warn) {
    this.#publish = publish;
    this.#warn = warn;
    this.#begin();
  }

  #begin() {
    if (!this.#publish || this.#functions.length === 0) return;
    if (!this.#isBegun) setInterval(() => this.#ask(), ASK_EVERY_MS).unref();
    this.#isBegun = true;
    this.#ask();
  }

  async #ask() {
    // A function that takes longer than a second is not asked again meanwhile.
    if (this.#isAsking) return;
    this.#isAsking = true;
    for (const fn of this.#functions) await this.#askOne(fn);
    this.#isAsking = false;
    const text = this.#functions.map((fn) => this.#texts.get(fn)?.text ?? '').join('\n');
    if (!this.#publish(text)) this.#warn('the metrics of the application are too long and were not taken');
  }

  // One that fails leaves what it said before, and is reported once until it works again.
  async #askOne(fn) {
    const before = this.#texts.get(fn);
    try {
      this.#texts.set(fn, { text: String(await fn() ?? ''), hasFailed: false });
    } catch (error) {
      if (!before?.hasFailed) this.#warn(`a function given to metrics() failed: ${error?.message ?? error}`);
      this.#texts.set(fn, { text: before?.text ?? '', hasFailed: true });
    }
  }
}

module.exports = { AppMetrics };
