// All servers of a process, from the moment when `listen` is called to the last connection, whoever made them.
//
// lib/worker/adopt-servers.js makes the one `Servers` of a worker, lib/single.js that of a process without workers.
// Whatever listens is adopted: it is drained, its connections and requests are counted, idle ones are cut, and
// connections are spread evenly. What is handed over, and what listens on a port of the application's, answers
// balancers as well (ECV). The file owns the record of each server.
'use strict';

const net = require('node:net');

const { callApplication } = require('../../shared/call-application');
const { portsOf } = require('../../shared/ports');
const { connectionOf, layUpon } = require('../connection');
const { below, belowSession, isLent, onListen, serverOf } = require('../../shared/node-internals');
const { seeEvents } = require('./events');
const { isExtra } = require('./extra-ports');
const { cutIdle, fillTimeouts, unwatchSocket, watchSocket } = require('./idle-timeout');
const { isSecure, kindOf } = require('./server-kind');
const { listenOnAll } = require('./listening');

const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;

/** What is known of a server. */
class Adopted {
  hasListened = false;
  /** Whether only this machine reaches it and it is not the application's own: what a library opened for itself. */
  isLocal = false;
  isDraining = false;
  /** Whether its 'close' event has come. */
  isClosed = false;
  /** The beginning of the paths that ECV may answer. */
  ecvPath = undefined;
  /** The idle timeout of its connections in ms, or 0. */
  timeout = 0;

  constructor(server) {
    this.server = server;
    this.kind = kindOf(server);
    this.isSecure = isSecure(server);
  }
}

class Servers {
  traffic;
  #neighbours;
  #all = new WeakMap();
  // Those that listen, or still have connections.
  #adopted = new Map();
  #own = new WeakSet();
  #extras = 0;
  #drain;
  // What the application wants, once it is known.
  #cluster;
  #options;
  #ecv;
  #balance;
  #ownsLent = false;
  #onListening = () => {};

  /** `traffic` counts: the one of this process. `neighbours` are there in a worker. */
  constructor(traffic, neighbours) {
    this.traffic = traffic;
    this.#neighbours = neighbours;
  }

  /** Adopts whatever listens from now on. Gives itself. */
  adoptAll() {
    onListen((server) => this.adopt(server));
    return this;
  }

  /** Adopts a server that does not listen yet. Twice is as good as once. */
  adopt(server) {
    if (isExtra(server)) {
      server.once('listening', () => this.#listensToo(server));
      return;
    }
    let adopted = this.#all.get(server);
    if (!adopted) {
      adopted = new Adopted(server);
      this.#all.set(server, adopted);
      seeEvents(adopted, this.#observersOf(adopted));
    }
    this.#adopted.set(server, adopted);
  }

  /** Calls `listener()` when the next server listens. */
  onceListening(listener) {
    this.#onListening = () => {
      this.#onListening = () => {};
      listener();
    };
  }

  /**
   * From now on serves as `options` say. `ecv` answers balancers, where that is not off; `balance` gives connections
   * back that are too many, where there are other workers; with `ownsLent` every server that listens by the master is
   * the application's own.
   */
  use(cluster, options, { ecv, balance, ownsLent = false } = {}) {
    this.#cluster = cluster;
    this.#options = options;
    this.#ecv = ecv;
    this.#balance = balance;
    this.#ownsLent = ownsLent;
    this.traffic.countRequests(options);
    for (const adopted of this.#adopted.values()) {
      if (adopted.server.listening) this.#serve(adopted);
    }
  }

  /** Connections accepted since the start. */
  get connections() {
    return this.traffic.connections;
  }

  /** HTTP requests received since the start. */
  get requests() {
    return this.traffic.requests;
  }

  /** Sockets that are open now: connections and servers. */
  get sockets() {
    const listeners = [...this.#adopted.keys()].filter((server) => server.listening);
    return listeners.length + this.#extras + this.traffic.open.size;
  }

  /**
   * Listens for each app on each of its ports; calls `onListening(ports)` per app, once all of its ports are open.
   * Rejects with the error of the first server that can't listen.
   */
  async listen(apps, onListening) {
    const { toServer } = require('../../shared/create-app');
    const { host, backlog } = this.#options;
    const served = [];
    for (const { app, port } of apps) {
      const ports = portsOf({ port }, this.#options);
      const server = await toServer(app);
      this.#own.add(server);
      served.push({ server, ports });
    }
    for (const { server, ports } of served) {
      await listenOnAll(server, ports, { host, backlog });
      onListening(ports);
    }
  }

  /** Lets nothing new in and resolves when the last connection is gone. Asked again, it is the same drain. */
  drain() {
    this.#balance?.end();
    this.#adoptGiven();
    const begin = () => this.#drained().begin();
    // What the master does not take comes back, and must not find that the last connection is gone.
    return this.#balance && !this.#balance.isSettled ? this.#balance.settled().then(begin) : begin();
  }

  /** The deadline has come: ends what is left and says in a sentence what that was, or nothing. */
  endNow() {
    const counts = this.#drained().endNow();
    const held = Object.entries(counts).filter(([, count]) => count > 0).map(([kind, count]) => `${count} ${kind}`);
    return held.length > 0 ? `still open at the deadline: ${held.join(', ')}` : undefined;
  }

  #listensToo(extra) {
    this.#extras += 1;
    this.#balance?.watch(extra);
    this.#neighbours?.listens(extra);
  }

  // A server may serve without ever listening: the application gives it connections that another server has accepted.
  #adoptGiven() {
    for (const socket of this.traffic.open) {
      const { server } = connectionOf(socket);
      if (server instanceof net.Server && !this.#adopted.has(server)) this.adopt(server);
    }
  }

  #drained() {
    const { Drain } = require('../drain/drain');
    this.#drain ??= new Drain(this.traffic.open, this.#adopted, this.#options);
    return this.#drain;
  }

  /**
   * Node is about to close the servers that listen by the master, and to let the process end: has each of these closes
   * drain its server. Others stay as they are.
   */
  drainWhenClosed() {
    this.#balance?.end();
    for (const adopted of this.#adopted.values()) {
      if (adopted.server.listening && isLent(adopted.server)) this.#drainWhenClosed(adopted);
    }
  }

  #drainWhenClosed(adopted) {
    const { server } = adopted;
    const before = Object.getOwnPropertyDescriptor(server, 'close');
    server.close = (callback) => {
      if (before) Object.defineProperty(server, 'close', before);
      else delete server.close;
      if (typeof callback === 'function') server.once('close', callback);
      this.#drained().beginFor(adopted);
      return server;
    };
  }

  // What each event of Node's means on a server of this kind; see lib/worker/serving/events.js. The application may
  // emit the same names with anything.
  #observersOf(adopted) {
    const { isSecure: isTls, kind } = adopted;
    const seen = new Map([
      ['listening', () => this.#listens(adopted)],
      ['connection', (socket) => isStream(socket) && this.#connects(adopted, socket)],
      ['error', () => this.#fails(adopted)],
      ['close', () => this.#closes(adopted)],
    ]);
    if (isTls) seen.set('secureConnection', (socket) => isStream(socket) && this.#isSecured(adopted, socket));
    if (kind === 'tcp') return seen;
    for (const event of ['request', 'checkContinue', 'checkExpectation']) {
      seen.set(event, (request, response, emit) => this.#asks(adopted, event, request, response, emit));
    }
    for (const event of ['connect', 'upgrade']) {
      seen.set(event, (request, stream) => this.#leavesHttp(adopted, request, stream));
    }
    seen.set('timeout', (idle, _, emit) => this.#isIdle(adopted, idle, emit));
    if (kind === 'http') return seen;
    seen.set('session', (session) => this.#opens(session));
    seen.set('stream', (stream, headers) => this.#streams(adopted, stream, headers));
    return seen;
  }

  #listens(adopted) {
    adopted.hasListened = true;
    adopted.isClosed = false;
    this.#adopted.set(adopted.server, adopted);
    if (this.#options) this.#serve(adopted);
    this.#neighbours?.listens(adopted.server);
    this.#drain?.listens(adopted);
    this.#onListening();
  }

  #serve(adopted) {
    const { kind, server } = adopted;
    const address = server.address();
    const isPath = typeof address === 'string';
    const isAppsPort = portsOf({}, this.#options).includes(isPath ? address : address?.port);
    const isApps = isAppsPort || this.#own.has(server) || (this.#ownsLent && isLent(server));
    adopted.isLocal = !isApps && (isPath || LOOPBACK.test(address?.address));
    // How long a library leaves its own raw connections idle is its own affair.
    adopted.timeout = kind === 'tcp' && adopted.isLocal ? 0 : this.#options.timeout;
    fillTimeouts(adopted, adopted.timeout);
    // A script that is run as it is says nowhere which ports are the application's.
    if (this.#ecv && (isApps || this.#options.exec) && kind !== 'tcp') {
      this.#ecv.guard(server, address);
      adopted.ecvPath = this.#ecv.path;
    }
    this.#balance?.watch(server);
  }

  #closes(adopted) {
    if (adopted.server.listening) return;
    adopted.isClosed = true;
    this.#adopted.delete(adopted.server);
  }

  // One that can't listen has no 'close' to come.
  #fails({ server }) {
    if (!server.listening) this.#adopted.delete(server);
  }

  #connects({ isSecure: isTls, kind, server, timeout }, socket) {
    const isGiven = serverOf(socket) !== server;
    if (isTls || kind === 'tcp') this.#watch(socket, timeout);
    // A session is found again from the proxy that it shows in place of its socket.
    if (isGiven || kind === 'http2') {
      const connection = connectionOf(socket);
      if (isGiven) connection.givenTo = server;
      if (isGiven && connection.socket === socket) this.traffic.given(socket);
    }
  }

  #isSecured({ kind, timeout }, socket) {
    const lower = below(socket) ?? socket;
    const connection = connectionOf(lower);
    connection.top = socket;
    layUpon(connection, socket);
    // The socket below served for the handshake; it sees none of the traffic from here on.
    unwatchSocket(lower, timeout);
    if (kind === 'tcp') this.#watch(socket, timeout);
  }

  #opens(session) {
    if (!session?.socket) return;
    const connection = connectionOf(belowSession(session));
    connection.session = session;
    layUpon(connection, session);
    this.#drain?.sessionOpened(connection);
  }

  #streams(adopted, stream, headers) {
    if (!stream?.session) return false;
    this.traffic.stream(stream, headers);
    return adopted.ecvPath !== undefined && this.#ecv.takes(adopted.server, 'stream', stream, headers);
  }

  // True where the application is not told now.
  #asks(adopted, event, request, response, emit) {
    const isTaken = () => adopted.ecvPath !== undefined && this.#ecv.takes(adopted.server, event, request, response);
    if (!adopted.isDraining || request?.httpVersionMajor !== 1) return isTaken();
    const { whenAllHasCome } = require('../drain/last-answer');
    whenAllHasCome(adopted.server, request, () => isTaken() || emit());
    return true;
  }

  #leavesHttp({ timeout }, request, stream) {
    // A CONNECT of HTTP/2 is one stream of a session, not a connection of its own.
    if (request?.httpVersionMajor !== 1) return;
    const protocol = request.method === 'CONNECT' ? 'tunnel' : String(request.headers.upgrade).toLowerCase();
    connectionOf(request.socket).upgraded = { protocol, stream };
    unwatchSocket(request.socket, timeout);
  }

  #isIdle({ server, timeout }, idle, emit) {
    if (timeout === 0 || idle?.timeout !== timeout || server.timeout !== timeout) return false;
    emit();
    if (cutIdle(server, idle, timeout)) this.#hasTimedOut();
    return true;
  }

  #watch(socket, timeout) {
    watchSocket(socket, timeout, () => this.#hasTimedOut());
  }

  #hasTimedOut() {
    this.traffic.timedOut();
    callApplication(() => this.#cluster.emit('warning', { message: 'Client socket timed out' }));
  }
}

module.exports = { Servers };

// Whether it can be a connection.
function isStream(given) {
  return typeof given?.pipe === 'function' && typeof given.write === 'function';
}
