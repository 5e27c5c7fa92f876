// When a worker is due for replacement: by connections, requests, age or memory.
//
// lib/worker/worker.js starts one `Thresholds` when the worker serves. It looks once a second, tells the worker once,
// and owns one timer that keeps nothing alive. Each limit is raised by a random part of `recycleJitter`, so a worker
// is never due before the limit.
'use strict';

const { clearInterval, setInterval } = require('../../shared/timers');

const CHECK_MS = 1000;
// The default number of connections is soon reached at a high rate: it counts for workers that are so many seconds old.
const GROWN_UP_S = 600;

class Thresholds {
  #limits;
  #values;
  #timer;

  /** `counts` has the getters `connections` and `requests`; `random` gives numbers from 0 to 1, `uptime` seconds. */
  constructor(options, counts, random = Math.random, uptime = () => process.uptime()) {
    this.#limits = Object.entries({
      connections: options.connThreshold,
      requests: options.requestThreshold,
      uptime: options.uptimeThreshold,
      memory: options.memoryThreshold,
    })
      .filter(([, limit]) => limit)
      .map(([why, limit]) => ({ why, limit: limit * (1 + random() * options.recycleJitter) }));
    this.#values = {
      connections: () => (options.connThresholdGiven || uptime() > GROWN_UP_S ? counts.connections : 0),
      requests: () => counts.requests,
      uptime,
      memory: () => process.memoryUsage.rss(),
    };
  }

  /** The name of a limit that is exceeded, or undefined. */
  exceeded() {
    return this.#limits.find(({ why, limit }) => this.#values[why]() > limit)?.why;
  }

  /** Looks from now on, and calls `onDue(why)` once. */
  watch(onDue) {
    this.#timer = setInterval(() => {
      const why = this.exceeded();
      if (!why) return;
      clearInterval(this.#timer);
      onDue(why);
    }, CHECK_MS).unref();
  }
}

module.exports = { Thresholds };
