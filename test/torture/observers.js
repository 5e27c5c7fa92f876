// Who watches all along: the scraper of /metrics, the balancer that asks for ECV, and a watch over the machine. Where
// it is too busy for this process, or for a worker, that must not be taken for a fault of the cluster.
//
// They write into the history. Owns their timers until `stop`.
'use strict';

const fs = require('node:fs');
const { setTimeout: after } = require('node:timers/promises');

const { request } = require('../support');

const SCRAPE_MS = 300;
const ECV_MS = 60;
const WAITS_MS = 100;
const STALL_MS = 100;
const PATIENCE_MS = 10_000;

class Observers {
  #target;
  #history;
  #isStopping = false;
  #loops;
  #watch;

  constructor(target, history) {
    this.#target = target;
    this.#history = history;
    this.#watch = watchStalls(history);
    this.#loops = [
      this.#repeat(SCRAPE_MS, () => this.#scrape()),
      this.#repeat(ECV_MS, () => this.#askEcv('monitor', target.monPort)),
      this.#repeat(ECV_MS, () => this.#askEcv('worker', target.port)),
      this.#repeat(WAITS_MS, () => this.#readWaits()),
    ];
  }

  /** One scrape more while no client asks: its totals are compared with what was asked. */
  async tally() {
    await this.#scrape();
    this.#history.tally = this.#history.scrapes.at(-1);
  }

  async stop() {
    this.#isStopping = true;
    await Promise.all(this.#loops);
    clearInterval(this.#watch);
  }

  async #repeat(ms, deed) {
    while (!this.#isStopping) {
      await deed();
      await after(ms);
    }
  }

  async #scrape() {
    const { generation: master } = this.#target;
    const from = Date.now();
    const scrape = { from, to: Infinity, master, counters: undefined };
    this.#history.scrapes.push(scrape);
    try {
      const { status, body } = await request(this.#target.monPort, { path: '/metrics', within: PATIENCE_MS });
      if (status === 200) scrape.counters = countersOf(body);
      else scrape.problem = `status ${status}`;
    } catch (error) {
      scrape.problem = error.message;
    }
    scrape.to = Date.now();
    scrape.isSure = this.#target.isUp && master === this.#target.generation;
  }

  #readWaits() {
    const { waits } = this.#history;
    for (const pid of this.#target.workers()) {
      const ms = waited(pid);
      if (!waits.has(pid)) waits.set(pid, []);
      if (ms !== undefined) waits.get(pid).push({ at: Date.now(), ms });
    }
  }

  async #askEcv(where, port) {
    const { generation: master } = this.#target;
    const from = Date.now();
    // The worker asks its own application, too.
    if (where === 'worker') this.#history.others += 2;
    try {
      const { body } = await request(port, { path: '/ecv', within: PATIENCE_MS });
      const [, word] = /^status=(\w+)/.exec(body) ?? [];
      if (master === this.#target.generation) this.#history.health.push({ from, to: Date.now(), word, where, master });
    } catch {
      // The clients see that too, and their losses are judged.
    }
  }
}

module.exports = { Observers, countersOf };

/** The values of all counters, by name and labels. */
function countersOf(text) {
  const names = new Set([...text.matchAll(/^# TYPE (\S+) (?:counter|histogram)$/gm)].map(([, name]) => name));
  const isCounter = (name) => names.has(name) || names.has(name.replace(/_(bucket|sum|count)$/, ''));
  const samples = [...text.matchAll(/^([\w:]+)(\{.*\})? (\S+)$/gm)];
  return new Map(samples.filter(([, name]) => isCounter(name))
    .map(([, name, labels = '', value]) => [name + labels, Number(value)]));
}

// For how long a process has waited for a processor so far.
function waited(pid) {
  try {
    return Number(fs.readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
  } catch {
    return undefined;
  }
}

function watchStalls(history) {
  let last = Date.now();
  return setInterval(() => {
    const now = Date.now();
    if (now - last > STALL_MS) history.holds.push({ who: 'all', why: 'the clients', from: last, to: now });
    last = now;
  }, 20);
}
