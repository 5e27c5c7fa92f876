// Clients of every protocol, in this process: each asks, waits a moment, and asks again, until told to stop.
//
// They behave well: who is told to close opens a new connection, and nothing is ever sent twice. Each has an address of
// its own (127.0.0.x). What they ask and get goes into the history. Owns all their connections.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

const http1 = require('./http1');
const http2 = require('./http2');
const raw = require('./raw');
const webSocket = require('./websocket');

// How many clients each kind has, what one dialogue is, where it goes, and how long a client pauses at most (ms).
const KINDS = {
  short: { clients: 5, dialogue: http1.short, to: 'plain', pause: 40 },
  kept: { clients: 4, dialogue: http1.kept, to: 'plain', pause: 40 },
  pipelined: { clients: 1, dialogue: http1.pipelined, to: 'plain', pause: 60 },
  upload: { clients: 1, dialogue: http1.upload, to: 'plain', pause: 60 },
  unix: { clients: 1, dialogue: http1.short, to: 'unix', pause: 40 },
  unixKept: { clients: 1, dialogue: http1.kept, to: 'unix', pause: 40 },
  tls: { clients: 1, dialogue: http1.short, to: 'tls', pause: 100 },
  tlsKept: { clients: 2, dialogue: http1.kept, to: 'tls', pause: 60 },
  http2: { clients: 2, dialogue: http2, to: 'http2', pause: 60 },
  webSocket: { clients: 3, dialogue: webSocket, to: 'plain', pause: 60 },
  raw: { clients: 2, dialogue: raw, to: 'raw', pause: 60 },
};
// Far beyond what any fault holds up.
const PATIENCE_MS = 20_000;

class Clients {
  #history;
  #random;
  #places;
  #loops = [];
  #isStopping = false;

  constructor(target, history, random) {
    this.#history = history;
    this.#random = random;
    this.#places = target.places;
  }

  start() {
    this.#isStopping = false;
    let host = 1;
    for (const [kind, { clients, dialogue, to, pause }] of Object.entries(KINDS)) {
      for (let at = 0; at < clients; at += 1) {
        host += 1;
        const place = this.#places[to];
        const address = place.port && `127.0.0.${host}`;
        const client = new Client(kind, { ...place, ...address && { localAddress: address } }, this.#history,
          this.#random.branch(), () => this.#isStopping);
        this.#loops.push(repeat(client, dialogue, pause));
      }
    }
  }

  /** Lets what is under way finish. */
  async stop() {
    this.#isStopping = true;
    await Promise.all(this.#loops.splice(0));
  }
}

async function repeat(client, dialogue, pause) {
  while (!client.isStopping) {
    await dialogue(client);
    await after(client.random.between(1, pause));
  }
}

/** What a dialogue works with. */
class Client {
  #isStopping;
  #history;
  #requests = 0;

  constructor(kind, where, history, random, isStopping) {
    Object.assign(this, { kind, where, random, within: PATIENCE_MS });
    this.#history = history;
    this.#isStopping = isStopping;
  }

  get isStopping() {
    return this.#isStopping();
  }

  /** A number for the next request, which its answer repeats. */
  number() {
    return this.#requests += 1;
  }

  /** Opens a connection by `deed`, which gives it with `localPort` and, if known, `pid`; undefined if it failed. */
  async open(deed) {
    const record = this.#history.connection(this.kind, this.where.localAddress);
    let opened;
    const isOpen = await this.judge(record, 'connect', async () => {
      opened = await deed(record);
      record.port ??= opened.localPort;
      record.pid ??= opened.pid;
    });
    return isOpen ? Object.assign(opened, { record }) : undefined;
  }

  /**
   * One request: `deed` is what the client does for it; it throws if the answer is not right. What it finds out about
   * the worker it leaves in `record.pid`. Resolves with whether all went well.
   */
  async judge(record, what, deed) {
    const request = this.#history.asks(record, what);
    try {
      await deed();
      this.#history.ends(request, 'ok');
      return true;
    } catch (error) {
      this.#history.ends(request, outcomeOf(error), error.message);
      return false;
    }
  }
}

// Failures of support/wire and those of our own say what they are.
function outcomeOf({ kind, code }) {
  if (kind) return { shortBody: 'cut', timedOut: 'hung' }[kind] ?? kind;
  return ['ECONNREFUSED', 'ENOENT'].includes(code) ? 'refused' : 'reset';
}

module.exports = { Clients };
