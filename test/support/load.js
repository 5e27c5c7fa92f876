// Load on a program under test (test/apps/torture.js), by clients in processes of their own, one for each kind.
//
// Owns those processes until `stop`. Every kind has the counters {ok, reset, refused, timedOut, badStatus,
// shortBody}, and `stalledMs`, the longest time for which its clients got no processor.
'use strict';

const { fork } = require('node:child_process');
const path = require('node:path');

const { inTime } = require('./wait');

const CLIENT = path.join(__dirname, 'load-client.js');
const STOP_MS = 20_000;

// What each kind speaks, on which address, and how many clients a process has.
const KINDS = {
  short: { deed: 'short', to: 'plain', clients: 2 },
  keepAlive: { deed: 'keepAlive', to: 'plain', clients: 2 },
  thinking: { deed: 'thinking', to: 'plain', clients: 20 },
  pipelined: { deed: 'pipelined', to: 'plain', clients: 2 },
  upload: { deed: 'upload', to: 'plain', clients: 2 },
  events: { deed: 'events', to: 'plain', clients: 8 },
  webSocket: { deed: 'webSocket', to: 'plain', clients: 8 },
  https: { deed: 'keepAlive', to: 'https', clients: 2 },
  httpsShort: { deed: 'short', to: 'https', clients: 1 },
  http2: { deed: 'http2', to: 'http2', clients: 8 },
  unix: { deed: 'keepAlive', to: 'unix', clients: 2 },
  unixShort: { deed: 'short', to: 'unix', clients: 1 },
};

class Load {
  #processes = [];
  counters = {};

  /** Starts clients of these kinds against a program that is ready. */
  constructor(program, kinds = Object.keys(KINDS)) {
    const [plain, unix, https, http2] = program.addresses.app;
    const at = ({ port }) => ({ host: '127.0.0.1', port });
    const places = {
      plain: at(plain),
      unix: { path: path.resolve(program.cwd, unix.path) },
      https: { ...at(https), tls: true },
      http2: at(http2),
    };
    for (const kind of kinds) {
      const { deed, to, clients } = KINDS[kind];
      const child = fork(CLIENT, [JSON.stringify([deed, clients, places[to]])], { execArgv: [] });
      child.on('message', (counters) => { this.counters[kind] = counters; });
      this.#processes.push(child);
    }
  }

  /** Resolves when every kind has been answered at least `times` times from now on. */
  async flows(times = 1) {
    const before = Object.fromEntries(Object.entries(this.counters).map(([kind, { ok }]) => [kind, ok]));
    await inTime(new Promise((resolve) => {
      const look = () => {
        const kinds = Object.entries(this.counters);
        const isFlowing = ([kind, { ok }]) => ok >= (before[kind] ?? 0) + times;
        if (kinds.length === this.#processes.length && kinds.every(isFlowing)) resolve();
        else setTimeout(look, 20);
      };
      look();
    }), () => `answers to all kinds: ${JSON.stringify(this.counters)}`);
  }

  /** Lets what is under way finish; resolves with the counters. */
  async stop() {
    const ends = this.#processes.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    for (const child of this.#processes) if (child.connected) child.send('stop');
    try {
      await inTime(Promise.all(ends), 'end of the clients', STOP_MS);
    } finally {
      for (const child of this.#processes) if (child.exitCode === null) child.kill('SIGKILL');
    }
    return this.counters;
  }

  /** Every counter but `ok` that is not zero, as text; empty if all is well. */
  get losses() {
    return Object.entries(this.counters).flatMap(([kind, counters]) => Object.entries(counters)
      .filter(([name, value]) => !['ok', 'stalledMs'].includes(name) && value > 0)
      .map(([name, value]) => `${kind}: ${value} ${name}`));
  }
}

module.exports = { Load, KINDS };
