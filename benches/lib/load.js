// The load generator, benches/load/: built by cargo in release mode, run as a process of its own.
'use strict';

const { spawn } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');

const { findCargo } = require('../../scripts/cargo');
const { root, run } = require('../../scripts/tools');
const { environment } = require('./ending');
const { sum } = require('./statistics');

const MANIFEST = path.join(root, 'benches/load/Cargo.toml');
const TARGET = path.join(root, 'target');
const PROGRAM = path.join(TARGET, 'release/cluster2-load');

async function buildLoad() {
  if (!findCargo()) throw new Error('cargo was not found: the load is a Rust program, see https://rustup.rs');
  const build = ['build', '--release', '--locked', '--manifest-path', MANIFEST];
  const { ok } = await run('cargo', build, { env: { CARGO_TARGET_DIR: TARGET } });
  if (!ok) throw new Error('the load could not be built');
}

/** One run of the load. `benches/load/orders.rs` says what can be ordered. */
class Load {
  #child;
  #failure;
  #lines = [];
  #waiting;

  static async start(orders) {
    const load = new Load();
    load.#child = spawn(PROGRAM, [JSON.stringify(orders)], {
      env: { ...process.env, ...environment },
      // As the contestants.
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    load.#child.on('error', (error) => load.#end(error));
    readline.createInterface({ input: load.#child.stdout })
      .on('line', (line) => load.#hear(JSON.parse(line)))
      .on('close', () => load.#end(new Error('the load ended before its time')));
    await load.#next();
    return load;
  }

  /** Resolves with what it found, when all its requests are over. */
  async end() {
    const findings = await this.#next();
    this.#child.stdin.end();
    return findings;
  }

  /** Begins no more requests; resolves with what it found, when those under way are over. */
  finish() {
    this.#child.stdin.end();
    return this.#next();
  }

  /** For idle connections: resolves with what it found when all are open; they stay so until `close`. */
  async opened() {
    return (await this.#next()).opened;
  }

  /** Closes idle connections. */
  async close() {
    this.#child.stdin.end();
    await this.#next();
  }

  #hear(line) {
    this.#lines.push(line);
    this.#waiting?.();
  }

  #end(error) {
    this.#failure ??= error;
    this.#waiting?.();
  }

  async #next() {
    while (this.#lines.length === 0) {
      if (this.#failure) throw this.#failure;
      await new Promise((resolve) => { this.#waiting = resolve; });
    }
    return this.#lines.shift();
  }
}

/** Runs one load to its end against a contestant; adds the processor time that the contestant took for it. */
async function underLoad(contestant, orders) {
  const before = contestant.cpu();
  const load = await Load.start({ port: contestant.port, ...orders });
  const findings = await load.end();
  const after = contestant.cpu();
  const thousands = findings.answered / 1000;
  const counts = Object.values(findings.workers);
  return {
    ...findings,
    failures: sum(Object.values(findings.failed)),
    masterCpu: (after.master - before.master) / thousands,
    workersCpu: (after.workers - before.workers) / thousands,
    clientCpu: findings.cpuMs / thousands,
    busiest: Math.max(...counts) / findings.answered,
  };
}

module.exports = { Load, buildLoad, underLoad };
