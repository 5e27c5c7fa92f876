// What the application adds to `/metrics`: the master calls its functions once a second and keeps what each said last.
//
// `c.metrics(fn)` adds a function. No scrape waits for one: a function that is slow, or an event loop that is blocked,
// makes its own text old and nothing else. Owns one timer, which keeps nothing alive.
'use strict';

const { createError } = require('../shared/errors');
const { textOfThrown } = require('../shared/call-application');
const { setInterval } = require('../shared/timers');

const ASK_EVERY_MS = 1000;

class AppMetrics {
  #sources = [];
  #publish;
  #warn;
  #isBegun = false;

  /** Asks `fn` from now on; it gives text in Prometheus' format, or a promise of it. */
  add(fn) {
    if (typeof fn !== 'function') throw createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'text', 'a function', fn);
    this.#sources.push({ fn, text: '', isAsking: false, hasFailed: false });
    this.#begin();
  }

  /** The cluster runs: `publish(text)` takes what is said, `warn(message)` what goes wrong. */
  start(publish, warn) {
    this.#publish = publish;
    this.#warn = warn;
    this.#begin();
  }

  #begin() {
    if (!this.#publish || this.#sources.length === 0) return;
    if (!this.#isBegun) setInterval(() => this.#askAll(), ASK_EVERY_MS).unref();
    this.#isBegun = true;
    this.#askAll();
  }

  #askAll() {
    for (const source of this.#sources) this.#ask(source);
  }

  // A function that takes longer than a second is not called again meanwhile. One that fails leaves what it said
  // before, and is reported once until it works again.
  async #ask(source) {
    if (source.isAsking) return;
    source.isAsking = true;
    try {
      source.text = String(await source.fn() ?? '');
      source.hasFailed = false;
    } catch (error) {
      if (!source.hasFailed) this.#warn(`a function given to metrics() failed: ${textOfThrown(error)}`);
      source.hasFailed = true;
    }
    source.isAsking = false;
    const text = this.#sources.map((each) => each.text).join('\n');
    if (!this.#publish(text)) this.#warn('the metrics of the application are too long and were not taken');
  }
}

module.exports = { AppMetrics };
