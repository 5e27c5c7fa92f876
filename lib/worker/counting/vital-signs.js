// What a worker's row says of the process itself: that its loop turns, how late, how busy; heap, memory, processor,
// garbage collection.
//
// lib/worker/serve-and-end.js and lib/node-cluster/agent.js start it once. It owns one timer, which keeps nothing
// alive, and an observer of collections where the option `metrics` asks for one. What takes long to load waits for a
// second, so that other workers start sooner; what tells why a worker died in its start does not wait.
'use strict';

const { clock } = require('./scoreboard');
const { performance, setInterval } = require('../../shared/timers');

const TURN_MS = 100;
const TURNS_PER_LOOK = 10;
// The largest lag is that of the window under way and the one before, so it stays visible for at least one.
const LAG_WINDOW_MS = 30_000;

class VitalSigns {
  #board;
  #due;
  #turns = 0;
  #utilisation = { idle: 0, active: 0 };
  #lag = { since: 0, max: 0, maxBefore: 0 };
  #onLook = [];

  constructor(board) {
    this.#board = board;
  }

  /** Also runs `look` about once a second. */
  also(look) {
    this.#onLook.push(look);
  }

  /** `metrics` is the option of that name. */
  start(metrics) {
    if (metrics.gc) this.#observeCollections();
    const { numbers, at } = this.#board;
    const begun = clock();
    this.#board.set('heapOldLimit', oldSpaceLimit());
    this.#weigh();
    this.#lag.since = begun;
    this.#due = begun + TURN_MS;
    this.#board.turn(begun);
    setInterval(() => {
      const now = clock();
      this.#board.turn(now);
      numbers[at.loopLag] = Math.max(0, now - this.#due);
      this.#due = now + TURN_MS;
      this.#keepLargest(now, numbers[at.loopLag]);
      this.#turns += 1;
      if (this.#turns % TURNS_PER_LOOK === 0) this.#look();
      if (this.#turns === TURNS_PER_LOOK) this.#settle();
    }, TURN_MS).unref();
  }

  #keepLargest(now, late) {
    const lag = this.#lag;
    if (now - lag.since >= LAG_WINDOW_MS) {
      lag.maxBefore = lag.max;
      lag.max = 0;
      lag.since = now;
    }
    lag.max = Math.max(lag.max, late);
    this.#board.set('loopLagMax', Math.max(lag.max, lag.maxBefore));
  }

  #look() {
    const board = this.#board;
    const utilisation = performance.eventLoopUtilization();
    board.set('loopUtilisation', performance.eventLoopUtilization(utilisation, this.#utilisation).utilization);
    this.#utilisation = utilisation;
    this.#weigh();
    for (const look of this.#onLook) look();
  }

  // The memory and the processor time that the process has used so far.
  #weigh() {
    const board = this.#board;
    const { external, heapTotal, heapUsed, rss } = process.memoryUsage();
    board.set('heapUsed', heapUsed);
    board.set('heapTotal', heapTotal);
    board.set('external', external);
    board.set('rss', rss);
    const { user, system } = process.cpuUsage();
    board.set('cpuUser', user / 1000);
    board.set('cpuSystem', system / 1000);
  }

  // What costs a millisecond or more to load.
  #settle() {
    this.#board.set('heapLimit', require('node:v8').getHeapStatistics().heap_size_limit);
  }

  // Costs 2 % of a busy worker's time.
  #observeCollections() {
    const { constants, PerformanceObserver } = require('node:perf_hooks');
    const fields = new Map([
      [constants.NODE_PERFORMANCE_GC_MINOR, 'gcMinor'],
      [constants.NODE_PERFORMANCE_GC_MAJOR, 'gcMajor'],
      [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'gcIncremental'],
    ]);
    const board = this.#board;
    const observer = new PerformanceObserver((list) => {
      for (const { detail, duration } of list.getEntries()) {
        board.add('gcPauseMs', duration);
        const field = fields.get(detail.kind);
        if (field) board.add(field);
      }
    });
    observer.observe({ entryTypes: ['gc'] });
  }
}

// V8 tells only the sum of old and young, and what the young may become differs from version to version.
function oldSpaceLimit() {
  const flags = [...(process.env.NODE_OPTIONS ?? '').split(/\s+/), ...process.execArgv];
  const mib = flags.map((flag) => Number(/^--max[-_]old[-_]space[-_]size=(\d+)$/.exec(flag)?.[1] ?? 0));
  return (mib.filter((size) => size > 0).at(-1) ?? 0) * 2 ** 20;
}

module.exports = { VitalSigns };
