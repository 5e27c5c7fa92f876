// How a process takes leave of its clients without losing a request.
//
// lib/worker/serving/servers.js makes the one `Drain` of a process when it is to begin. `begin` closes the listening
// sockets, lets every request be answered that is under way or still comes, and closes what is idle once the grace is
// over; `beginFor` does so for one server, and `endNow` is the deadline. Servers that only this machine reaches, and
// that are not the application's own (`isLocal`), come last: handlers that are at work may ask them. The file owns one
// timer, from `begin` to the end of the last connection.
// Invariants: an HTTP connection with a request on it is closed by `endNow` alone; upgraded and raw connections are
// never closed before it.
'use strict';

const net = require('node:net');

const { connectionOf } = require('../connection');
const { receiving } = require('../../shared/node-internals');
const { extraServers } = require('../serving/extra-ports');
const { announce, release } = require('./http2-goodbye');
const { closeAfterLastAnswer } = require('./last-answer');
const {
  clearInterval, clearTimeout, performance, setImmediate, setInterval, setTimeout,
} = require('../../shared/timers');

const DEFAULT_GRACE = 1000;
// How often connections are looked at in a grace; bounded, so that neither a tiny nor a huge grace does harm.
const LOOKS_PER_GRACE = 4;
const SHORTEST_LOOK = 10;
const LONGEST_LOOK = 250;
// What a WebSocket or HTTP/2 client gets to take in the goodbye, before its connection is cut.
const FAREWELL = 250;

class Drain {
  #open;
  #adopted;
  // The servers that were closed: one goes from `adopted` while streams that it was given are still open.
  #closed = new Set();
  #grace;
  #isOfAll = false;
  // The servers that drain while not all do.
  #chosen = new Set();
  #beganAt = 0;
  #resolve;
  #gone = new Promise((resolve) => { this.#resolve = resolve; });
  #look;
  #cut;
  #isLocalsTurn = false;
  #isEnded = false;

  /** `open` lists all connections; `adopted` is a Map from each server to its record. */
  constructor(open, adopted, { keepAliveGrace = DEFAULT_GRACE } = {}) {
    this.#open = open;
    this.#adopted = adopted;
    this.#grace = keepAliveGrace;
  }

  /**
   * Begins to drain. Resolves when every connection is gone, 'close' listeners of the servers included; never
   * rejects. A second call changes nothing and returns the same promise.
   */
  begin() {
    if (!this.#isOfAll) {
      this.#isOfAll = true;
      this.#take();
    }
    return this.#gone;
  }

  /** Begins to drain this server; those that are not named stay as they are, until `begin`. */
  beginFor({ server }) {
    this.#chosen.add(server);
    this.#take();
  }

  // Takes on every server whose turn it is.
  #take() {
    this.#beganAt = performance.now();
    this.#open.follower = {
      opened: (socket) => this.#welcome(socket),
      closed: () => this.#settle(),
    };
    for (const adopted of this.#adopted.values()) this.listens(adopted);
    for (const socket of this.#open) this.#welcome(socket);
    this.#lookAtAll(() => {});
    const period = Math.min(Math.max(this.#grace / LOOKS_PER_GRACE, SHORTEST_LOOK), LONGEST_LOOK);
    // Timers run before the loop reads from its sockets, immediates right after: so a request that had
    // arrived is seen before its connection is taken for idle.
    clearInterval(this.#look);
    this.#look = setInterval(() => setImmediate(() => this.#sweep()), period);
    this.#settle();
  }

  /**
   * Ends every connection, and begins to drain if that had not happened. Returns what was still open, by
   * kind, and the number of requests under way. WebSockets get a close frame with status 1001 and HTTP/2
   * clients a GOAWAY; who does not go by that is cut within a quarter of a second. A second call returns
   * zeros.
   */
  endNow() {
    const report = { http: 0, http2: 0, websocket: 0, tcp: 0, requests: 0 };
    if (this.#isEnded) return report;
    const connections = Array.from(this.#open, connectionOf);
    for (const connection of connections) {
      report[connection.kind] += 1;
      report.requests += connection.requests;
    }
    this.#isEnded = true;
    this.#cut = setTimeout(() => {
      for (const socket of this.#open) socket.destroy();
    }, FAREWELL);
    this.begin();
    for (const connection of connections) connection.end();
    return report;
  }

  /** A server listens, or has listened: it is closed when its turn has come. */
  listens(adopted) {
    if (this.#stays(adopted.server) || (adopted.isLocal && !this.#isLocalsTurn)) return;
    adopted.isDraining = true;
    this.#closed.add(adopted);
    closeListening(adopted);
    if (adopted.kind !== 'tcp') closeAfterLastAnswer(adopted.server);
  }

  /** A client has begun a session of HTTP/2. */
  sessionOpened(connection) {
    if (!this.#isKept(connection)) announce(connection, this.#grace);
  }

  #welcome(socket) {
    const connection = connectionOf(socket);
    connection.seen(performance.now());
    if (this.#isEnded) socket.destroy();
    else if (connection.session) this.sessionOpened(connection);
  }

  #stays(server) {
    return !this.#isOfAll && !this.#chosen.has(server);
  }

  // Whether it is left alone for the time being.
  #isKept(connection) {
    const { server } = connection;
    return this.#stays(server) || (!this.#isLocalsTurn && this.#adopted.get(server)?.isLocal === true);
  }

  #sweep() {
    this.#open.forgetSent();
    if (!this.#open.size) return;
    const now = performance.now();
    const grace = this.#grace;
    // A timer may be early by a fraction of a millisecond.
    const isDue = now - this.#beganAt >= grace - 1;
    this.#lookAtAll((connection, quietMs) => {
      const isQuiet = quietMs >= grace - 1;
      if (connection.session) release(connection, { now, grace, isDue, isQuiet });
      else if (isDue && isQuiet) connection.close();
    }, now);
  }

  // Calls `deed` with each connection that an answer or the grace may end, and with the time for which it was quiet.
  #lookAtAll(deed, now = performance.now()) {
    const busy = new Set();
    for (const { hasListened, kind, server } of this.#closed) {
      const sockets = kind === 'tcp' ? [] : receiving(server, kind === 'http' && hasListened);
      for (const socket of sockets) busy.add(socket);
    }
    for (const connection of Array.from(this.#open, connectionOf)) {
      const { kind } = connection;
      if (kind === 'tcp' || kind === 'websocket' || this.#isKept(connection)) continue;
      deed(connection, connection.quietFor(now, connection.isIdle(busy)));
    }
  }

  #settle() {
    if (!this.#isLocalsTurn && !this.#hasOthers()) this.#beginLocals();
    if (this.#open.size) return;
    // The server's 'close' comes in the ticks that follow the last socket's; and a connection that was
    // accepted in the same turn may be on its way here.
    setImmediate(() => {
      if (this.#open.size) return;
      clearInterval(this.#look);
      clearTimeout(this.#cut);
      this.#open.follower = undefined;
      if (!this.#isOfAll) return;
      // The deadline has nothing left to do.
      this.#isEnded = true;
      this.#resolve();
    });
  }

  #hasOthers() {
    if (this.#isEnded) return false;
    for (const socket of this.#open) {
      if (!this.#isKept(connectionOf(socket))) return true;
    }
    return false;
  }

  #beginLocals() {
    this.#isLocalsTurn = true;
    for (const adopted of this.#adopted.values()) {
      if (adopted.isLocal) this.listens(adopted);
    }
    for (const socket of this.#open) {
      const connection = connectionOf(socket);
      if (connection.session) this.sessionOpened(connection);
    }
  }
}

module.exports = { Drain };

// Node's http and http2 `close` would cut idle connections in the face of a client that is just sending.
function closeListening(adopted) {
  const { server } = adopted;
  for (const extra of extraServers(server)) {
    if (extra.listening) extra.close();
    else extra.once('listening', () => extra.close());
  }
  // One that does not listen yet comes here again.
  if (!server.listening) return;
  net.Server.prototype.close.call(server);
  hideClose(adopted);
}

// The application may close its server too, as it would without us: it finds that it is the first.
function hideClose(adopted) {
  const { server } = adopted;
  const before = Object.getOwnPropertyDescriptor(server, 'close');
  server.close = function closeAsFirst(callback) {
    if (before) Object.defineProperty(server, 'close', before);
    else delete server.close;
    if (typeof callback === 'function') {
      if (adopted.isClosed) process.nextTick(() => callback.call(server));
      else server.once('close', callback);
    }
    return server;
  };
}
