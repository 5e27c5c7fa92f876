'use strict';

// How a process takes leave of its clients without losing a request.
//
// The worker (and a process with `cluster: false`) makes one `Drain` when its servers start; until `begin` it
// only keeps a record per connection. `begin` closes the listening sockets, lets every request that is under
// way or still comes be answered, and closes what is idle once the grace is over; `endNow` is the deadline.
// It owns the records and one timer that lives from `begin` to the end of the last connection. Invariants: an
// HTTP connection with a request on it is closed by `endNow` alone; upgraded and raw connections are never
// closed before it.

const net = require('node:net');
const { extraServers } = require('../serving/extra-ports');
const { activeParsers, allParsers, closeAfterLastAnswer } = require('./last-answer');
const { sayGoingAway, watchUpgrades } = require('./websocket');

const DEFAULT_GRACE = 1000;
// How often, in a grace, connections are looked at; bounded, so that neither a tiny nor a huge grace does
// harm.
const LOOKS_PER_GRACE = 4;
const SHORTEST_LOOK = 10;
const LONGEST_LOOK = 250;
// What a WebSocket or HTTP/2 client gets to take in the goodbye, before its connection is cut.
const FAREWELL = 250;
// How long an HTTP/2 client with streams under way may take to answer the ping that says whether it has heard
// of the GOAWAY.
const LONGEST_PONG = 5000;
// The GOAWAY that only announces: every stream id that a client could still use lies below it.
const ANY_STREAM = 2 ** 31 - 1;

const kConnection = Symbol('cluster2.connection');

/** One accepted connection, from 'connection' to the socket's 'close'. */
class Connection {
  constructor(server, socket) {
    this.server = server;
    /** The TCP or unix socket; below `top` where there is TLS. */
    this.socket = socket;
    /** The socket that the application sees. */
    this.top = socket;
    this.session = null;
    /** `{protocol, stream}` once the connection left HTTP. */
    this.upgraded = null;
    this.bytes = 0;
    this.quietSince = 0;
    this.announcedAt = null;
  }

  /** What holds the worker, in the words of `endNow`. */
  get kind() {
    if (this.upgraded) return this.upgraded.protocol === 'websocket' ? 'websocket' : 'tcp';
    if (this.session) return 'http2';
    if (this.top.parser) return 'http';
    return this.isShakingHands ? kindOf(this.server) : 'tcp';
  }

  get isShakingHands() {
    return isTls(this.server) && this.top === this.socket;
  }

  /** Requests whose answer is not out; those that wait behind another one of a pipeline count as one more. */
  get requests() {
    if (this.session) return openStreams(this.session);
    const answer = this.upgraded ? null : this.top._httpMessage;
    if (!answer) return 0;
    return this.top.parser?.incoming && this.top.parser.incoming !== answer.req ? 2 : 1;
  }

  /** True where only the client's next request is waited for; `active` are the parsers amid a message. */
  isIdle(active) {
    if (this.isShakingHands) return true;
    if (this.top._httpMessage) return false;
    return this.top.bytesRead === 0 || !active.has(this.top.parser);
  }

  /** Notes whether anything came since the last look, and gives the time for which nothing did. */
  quietFor(now, isIdle) {
    const bytes = this.socket.bytesRead;
    if (bytes !== this.bytes || !isIdle) {
      this.bytes = bytes;
      this.quietSince = now;
    }
    return now - this.quietSince;
  }
}

class Drain {
  #servers = new Set();
  #connections = new Set();
  /** Servers whose connections Node lists; they are followed when the drain begins. */
  #listed = new Set();
  #grace;
  #begun = null;
  #beganAt = 0;
  #resolve;
  #look;
  #cut;
  #ended = false;

  /** Starts to follow the connections of `servers`; idle ones get `keepAliveGrace` ms once it drains. */
  constructor(servers = [], { keepAliveGrace = DEFAULT_GRACE } = {}) {
    this.#grace = keepAliveGrace;
    for (const server of servers) this.add(server);
  }

  /** Follows one more server; while draining, it is closed like the others. Twice is as good as once. */
  add(server) {
    if (this.#servers.has(server)) return;
    this.#servers.add(server);
    if (kindOf(server) !== 'tcp') watchUpgrades(server, (request, stream) => this.#upgrade(server, request, stream));
    if (kindOf(server) === 'http' && !isTls(server)) this.#followLater(server);
    else this.#follow(server);
    if (this.#begun) this.#close(server);
  }

  /** How many connections are open. */
  get open() {
    const listed = [...this.#listed].map((server) => allParsers(server)?.length ?? 0);
    return listed.reduce((sum, count) => sum + count, this.#connections.size);
  }

  /**
   * Begins to drain. Resolves when every connection is gone, 'close' listeners of the servers included; never
   * rejects. A second call changes nothing and returns the same promise.
   */
  begin() {
    if (this.#begun) return this.#begun;
    this.#begun = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#beganAt = performance.now();
    this.#adopt();
    for (const server of this.#servers) this.#close(server);
    for (const connection of this.#connections) this.#welcome(connection);
    const period = Math.min(Math.max(this.#grace / LOOKS_PER_GRACE, SHORTEST_LOOK), LONGEST_LOOK);
    // Timers run before the loop reads from its sockets, immediates right after: so a request that had
    // arrived is seen before its connection is taken for idle.
    this.#look = setInterval(() => setImmediate(() => this.#sweep()), period);
    this.#settle();
    return this.#begun;
  }

  /**
   * Ends every connection, and begins to drain if that had not happened. Returns what was still open, by
   * kind, and the number of requests under way. WebSockets get a close frame with status 1001 and HTTP/2
   * clients a GOAWAY; who does not go by that is cut within a quarter of a second. A second call returns
   * zeros.
   */
  endNow() {
    const report = { http: 0, http2: 0, websocket: 0, tcp: 0, requests: 0 };
    if (this.#ended) return report;
    this.#adopt();
    for (const connection of this.#connections) {
      report[connection.kind] += 1;
      report.requests += connection.requests;
    }
    this.#ended = true;
    this.#cut = setTimeout(() => {
      for (const { socket } of this.#connections) socket.destroy();
    }, FAREWELL);
    this.begin();
    for (const connection of this.#connections) end(connection);
    return report;
  }

  #follow(server) {
    // Ahead of Node's own listeners: those make the session or the TLS socket that must find the record.
    server.prependListener('connection', (socket) => this.#accept(server, socket));
    server.prependListener('secureConnection', (socket) => this.#secure(server, socket));
    server.prependListener('session', (session) => this.#open(session));
  }

  // Node lists the connections of a plain HTTP server itself, so nothing is spent on one before the drain begins (a
  // seventh of the cost of a short connection was measured). Without that list each is followed from the start.
  #followLater(server) {
    this.#listed.add(server);
    const check = () => {
      if (allParsers(server) || !this.#listed.delete(server)) return;
      this.#follow(server);
    };
    if (server.listening) check();
    else server.once('listening', check);
  }

  // The drain begins: what is listed is followed from now on.
  #adopt() {
    for (const server of this.#listed) {
      for (const { socket } of allParsers(server) ?? []) {
        if (socket && !socket.destroyed) this.#accept(server, socket);
      }
      this.#follow(server);
    }
    this.#listed.clear();
  }

  #upgrade(server, request, stream) {
    const { socket } = request;
    if (!socket[kConnection]) this.#accept(server, socket);
    const protocol = request.method === 'CONNECT' ? 'tunnel' : String(request.headers.upgrade).toLowerCase();
    socket[kConnection].upgraded = { protocol, stream };
  }

  #accept(server, socket) {
    const known = socket[kConnection];
    if (known && this.#connections.has(known)) {
      // The application passes a connection on from one of its servers to another.
      known.server = server;
      return;
    }
    const connection = new Connection(server, socket);
    socket[kConnection] = connection;
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      this.#settle();
    });
    if (this.#begun) this.#welcome(connection);
    if (this.#ended) socket.destroy();
  }

  #secure(server, socket) {
    const connection = socket._parent?.[kConnection];
    if (!connection) {
      this.#accept(server, socket);
      return;
    }
    connection.top = socket;
    socket[kConnection] = connection;
  }

  #open(session) {
    const { socket } = session;
    const connection = socket[kConnection] ?? socket.stream?.[kConnection];
    if (!connection) return;
    connection.session = session;
    if (this.#begun) announce(connection, this.#grace);
  }

  #close(server) {
    // Node's http and http2 `close` would cut idle connections in the face of a client that is just sending.
    for (const each of [server, ...extraServers(server)]) {
      const close = () => net.Server.prototype.close.call(each);
      if (each.listening) close();
      else each.once('listening', close);
    }
    if (kindOf(server) !== 'tcp') closeAfterLastAnswer(server);
  }

  #welcome(connection) {
    connection.bytes = connection.socket.bytesRead;
    connection.quietSince = performance.now();
    if (connection.session) announce(connection, this.#grace);
  }

  #sweep() {
    if (!this.#connections.size) return;
    const now = performance.now();
    // A timer may be early by a fraction of a millisecond.
    const isDue = now - this.#beganAt >= this.#grace - 1;
    const active = new Map();
    for (const server of this.#servers) active.set(server, new Set(activeParsers(server)));
    for (const connection of this.#connections) {
      const { kind, session, socket, top } = connection;
      if (kind === 'tcp' || kind === 'websocket') continue;
      const isIdle = session ? true : connection.isIdle(active.get(connection.server) ?? new Set());
      const isQuiet = connection.quietFor(now, isIdle) >= this.#grace - 1;
      if (session) this.#release(connection, now, isDue, isQuiet);
      else if (isDue && isQuiet && connection.isShakingHands) socket.destroy();
      else if (isDue && isQuiet) top.destroySoon();
    }
  }

  // Streams that were under way still finish after `close`; their number decides when the session goes.
  #release(connection, now, isDue, isQuiet) {
    const { announcedAt, session, socket } = connection;
    const isBusy = openStreams(session) > 0;
    // A client that has taken the GOAWAY and waits for no answer may answer no ping any more.
    const patience = isBusy ? Math.max(this.#grace, LONGEST_PONG) : this.#grace;
    const isDeaf = announcedAt !== null && now - announcedAt >= patience - 1;
    if (session.destroyed) {
      // Node waits for the client to close its side too, which it may never do.
      if (isDue && isQuiet) socket.destroy();
    } else if (!session.closed && isDue) {
      if (announcedAt === null && isBusy) sayGoaway(connection);
      else if (announcedAt === null ? isQuiet : isDeaf) session.close();
    }
  }

  #settle() {
    if (!this.#begun || this.#connections.size) return;
    // The server's 'close' comes in the ticks that follow the last socket's; and a connection that was
    // accepted in the same turn may be on its way here.
    setImmediate(() => {
      if (this.#connections.size) return;
      clearInterval(this.#look);
      clearTimeout(this.#cut);
      this.#resolve();
    });
  }
}

module.exports = { Drain };

// Told by what they can do: Node does not export the classes of its HTTP/2 servers, and to load those of the
// others would cost each worker several milliseconds of its start.
function kindOf(server) {
  if (typeof server.updateSettings === 'function') return 'http2';
  return typeof server.closeIdleConnections === 'function' ? 'http' : 'tcp';
}

function isTls(server) {
  return typeof server.setSecureContext === 'function';
}

// Clients give up requests that they have made and not yet sent when they learn that they are to go (Node's own
// does, with REFUSED_STREAM, though nothing was refused). So a session is told when a request of its has just
// come and no other is under way: then the client has sent what it had to send, and hears of it before it has
// the answer and something new to ask. A session that is never so is told when half of the grace is over.
function announce(connection, grace) {
  const { session } = connection;
  if (session.destroyed || session.closed) return;
  const lateFrom = performance.now() + grace / 2;
  session.on('stream', () => {
    if (openStreams(session) <= 1 || performance.now() >= lateFrom) sayGoaway(connection);
  });
}

// The answer to a ping says that the client knows; but a client may send that answer ahead of requests that it
// had made before (answers to pings overtake other frames in its queue), and those come right behind it. So a
// second ping follows: when that is answered, every stream that the client had opened before it knew is here,
// and none but these are to be served. A client that answers no ping has the grace.
function sayGoaway(connection) {
  const { announcedAt, session } = connection;
  if (announcedAt !== null || session.destroyed || session.closed) return;
  connection.announcedAt = performance.now();
  session.goaway(0, ANY_STREAM);
  ping(session, () => ping(session, () => session.close()));
}

function ping(session, onAnswer) {
  session.ping(() => {
    if (!session.destroyed && !session.closed) onAnswer();
  });
}

function end(connection) {
  const { kind, session, top, upgraded } = connection;
  if (kind === 'websocket') sayGoingAway(upgraded.stream);
  // It says GOAWAY by itself, with the last stream that was served.
  else if (session && !session.destroyed) session.destroy();
  else top.destroy();
}

// The number of open streams is only in Node's private state; without it they are not counted.
function openStreams(session) {
  const symbol = Object.getOwnPropertySymbols(session).find((candidate) => candidate.description === 'state');
  return session[symbol]?.streams?.size ?? 0;
}
