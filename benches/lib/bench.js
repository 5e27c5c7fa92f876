// What a measure gets: how to start contestants, which end with it, and how much time it may take.
'use strict';

const { execFileSync } = require('node:child_process');

const { Contestant, KINDS, OURS, REUSE_PORT } = require('./contestants');

class Bench {
  #settings;
  #running = [];
  version;

  constructor({ node, pm2, quick }) {
    this.#settings = { node, pm2, quick };
    this.version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim().slice(1);
  }

  /** The kinds of contestants that can be had here: all, or those that are clusters. */
  get everyone() {
    return KINDS.filter((kind) => kind !== REUSE_PORT && (kind !== 'PM2' || this.#settings.pm2 !== null));
  }

  get clusters() {
    return this.everyone.filter((kind) => kind !== 'one process');
  }

  /** Nobody's usual way to run a cluster, and to be had from Node 23 on: for a measure that explains itself by it. */
  get socketEach() {
    return parseInt(this.version, 10) >= 23 ? [REUSE_PORT] : [];
  }

  get ours() {
    return OURS;
  }

  get node() {
    return this.#settings.node;
  }

  /** Only to see that it runs: measures may leave out what takes long. */
  get isQuick() {
    return this.#settings.quick;
  }

  rounds(usual) {
    return this.#settings.quick ? 1 : usual;
  }

  seconds(usual) {
    return this.#settings.quick ? Math.min(usual, 0.5) : usual;
  }

  /** Starts a contestant; it ends with the measure at the latest. */
  async start(kind, options) {
    const contestant = await Contestant.start(kind, { ...this.#settings, ...options });
    this.#running.push(contestant);
    return contestant;
  }

  async startAll(kinds, options) {
    const contestants = [];
    for (const kind of kinds) contestants.push(await this.start(kind, options));
    return contestants;
  }

  /** Runs a measure and ends what it started. */
  async during(measure) {
    try {
      return await measure();
    } finally {
      for (const contestant of this.#running.splice(0)) await contestant.end();
    }
  }
}

module.exports = { Bench };
