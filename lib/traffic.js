// Counts connections and requests into a worker's row, whoever made the server: Node tells of each by its diagnostics
// channels. HTTP/2 has such channels on some versions of Node only, so its servers are told to us.
//
// lib/worker.js makes one `Traffic`, and calls `look` about once a second. It owns the list of open connections, and a
// record for each that was asked for something. What runs for each connection and request is kept to plain stores: one
// listener serves all sockets, and nothing is made for a connection before it is needed.
// Invariant: requests begun = those under way + those answered + those aborted.
'use strict';

const diagnostics = require('node:diagnostics_channel');

const { FlightRecorder } = require('./flight-recorder');
const { OpenConnections } = require('./open-connections');
const { clock } = require('./scoreboard');
const { Turnover } = require('./turnover');

// How many open connections are asked per look for what they moved; asking all of many would stop the loop.
const ASKED_PER_LOOK = 1000;

const kConnection = Symbol('cluster2.traffic.connection');

/** One request from its headers to the end of its answer. */
class Request {
  start = 0;
  /** Its entry in the flight recorder. */
  entry = -1;

  constructor(connection) {
    this.connection = connection;
  }
}

/** What was moved, and the requests that are not answered. */
class Connection {
  bytesRead = 0;
  bytesWritten = 0;
  underWay = 0;
  isClosed = false;
  /** HTTP/1 answers in the order of the requests: this is the next to be answered, used again and again. */
  first = new Request(this);
  /** Those that a pipeline sent after it, if one ever did. */
  others = undefined;
}

class Traffic {
  #board;
  #numbers;
  #at;
  #histogram;
  #statusBase;
  #recorder;
  #open = new OpenConnections();
  #isCounting;
  #onClose;
  /** How soon connections close. */
  turnover = new Turnover();

  constructor(board, { metrics, flightRecorder }) {
    this.#board = board;
    this.#numbers = board.numbers;
    this.#at = board.at;
    this.#histogram = board.layout.histogram;
    this.#statusBase = board.at.status1xx - 1;
    if (metrics && flightRecorder) this.#recorder = new FlightRecorder(board);
    this.#isCounting = metrics;
    const traffic = this;
    this.#onClose = function onClose() { traffic.#closed(this); };
    this.#watchConnections();
    if (metrics) this.#watchRequests();
  }

  /** Connections accepted since the start. */
  get connections() {
    return this.#board.get('connectionsTotal');
  }

  /** Counts a connection that was cut by the idle timeout. */
  timedOut() {
    this.#board.add('timedOutSockets');
  }

  /** Counts the requests of an HTTP/2 server, which Node tells us of on its newer versions only. */
  addServer(server) {
    if (!this.#isCounting || typeof server.updateSettings !== 'function') return;
    server.prependListener('stream', (stream, headers) => {
      const connection = stream.session[kConnection] ?? this.#follow(stream.session);
      const request = new Request(connection);
      this.#begin(request, headers[':method'] ?? '', headers[':path'] ?? '');
      stream.once('close', () => {
        const status = stream.sentHeaders?.[':status'];
        if (status !== undefined && stream.rstCode === 0) this.#answered(request, status);
        else this.#aborted(request);
      });
    });
  }

  /** Asks open connections what they have moved. */
  look() {
    this.#open.visit(ASKED_PER_LOOK, (socket) => this.#addMoved(socket, socket[kConnection] ?? this.#follow(socket)));
  }

  #watchConnections() {
    const numbers = this.#numbers;
    const open = this.#open;
    const board = this.#board;
    const onClose = this.#onClose;
    const { connectionsOpen, connectionsTotal, tick } = this.#at;
    diagnostics.subscribe('net.server.socket', ({ socket }) => {
      numbers[connectionsTotal] += 1;
      numbers[connectionsOpen] += 1;
      board.addLoad(1);
      // That the loop turned last is near enough, and costs no look at the clock.
      open.add(socket, numbers[tick]);
      socket.on('close', onClose);
    });
  }

  #watchRequests() {
    diagnostics.subscribe('http.server.request.start', ({ request, socket }) => {
      const connection = socket[kConnection] ?? this.#follow(socket);
      let begun = connection.first;
      if (connection.underWay > 0) {
        begun = new Request(connection);
        connection.others ??= [];
        connection.others.push(begun);
      }
      this.#begin(begun, request.method, request.url);
    });
    diagnostics.subscribe('http.server.response.finish', ({ response, socket }) => {
      const connection = socket[kConnection];
      // One that had begun before we counted.
      if (connection === undefined || connection.underWay === 0) return;
      this.#answered(connection.first, response.statusCode);
      if (connection.others !== undefined && connection.others.length > 0) connection.first = connection.others.shift();
    });
  }

  // Makes the record of a connection. Of one that was accepted before we counted, or that lies above the accepted one
  // (TLS, an HTTP/2 session), the end is not heard yet.
  #follow(socket) {
    const connection = new Connection();
    socket[kConnection] = connection;
    if (!this.#open.has(socket)) socket.on('close', this.#onClose);
    return connection;
  }

  #begin(request, method, url) {
    const numbers = this.#numbers;
    const now = clock();
    numbers[this.#at.tick] = now;
    numbers[this.#at.requestsTotal] += 1;
    numbers[this.#at.requestsUnderWay] += 1;
    request.connection.underWay += 1;
    request.start = now;
    if (this.#recorder !== undefined) request.entry = this.#recorder.begin(now, method, url, request);
  }

  #answered(request, status) {
    const { connection, start } = request;
    // What was aborted is counted already.
    if (connection.isClosed) return;
    const numbers = this.#numbers;
    const now = clock();
    connection.underWay -= 1;
    numbers[this.#at.requestsUnderWay] -= 1;
    numbers[this.#statusBase + Math.min(Math.max(Math.floor(status / 100), 1), 5)] += 1;
    numbers[this.#at.requestMs] += now - start;
    numbers[this.#histogram.at + this.#bucketOf(now - start)] += 1;
    if (this.#recorder !== undefined) this.#recorder.end(now, request, status);
  }

  // A stream of HTTP/2 may end so while its connection goes on.
  #aborted(request) {
    const { connection } = request;
    if (connection.isClosed) return;
    connection.underWay -= 1;
    this.#board.add('requestsUnderWay', -1);
    this.#board.add('aborted');
    this.#recorder?.end(clock(), request, 0);
  }

  #closed(socket) {
    const connection = socket[kConnection];
    const openedAt = this.#open.remove(socket);
    if (openedAt !== undefined) {
      this.#numbers[this.#at.connectionsOpen] -= 1;
      this.#board.addLoad(-1);
      this.turnover.closed(openedAt, this.#numbers[this.#at.tick]);
      this.#addMoved(socket, connection);
    }
    if (connection === undefined) return;
    connection.isClosed = true;
    if (connection.underWay === 0) return;
    this.#board.add('requestsUnderWay', -connection.underWay);
    this.#board.add('aborted', connection.underWay);
    this.#recorder?.endAll(clock(), connection);
  }

  #addMoved(socket, connection) {
    const numbers = this.#numbers;
    const { bytesRead, bytesWritten } = socket;
    numbers[this.#at.bytesRead] += bytesRead - (connection?.bytesRead ?? 0);
    numbers[this.#at.bytesWritten] += bytesWritten - (connection?.bytesWritten ?? 0);
    if (connection === undefined) return;
    connection.bytesRead = bytesRead;
    connection.bytesWritten = bytesWritten;
  }

  // As docs/scoreboard.md describes it: by the leading bit and the two after it.
  #bucketOf(ms) {
    const { buckets, parts: perMs } = this.#histogram;
    const parts = Math.trunc(ms * perMs) >>> 0;
    if (parts < 4) return parts;
    const shift = 29 - Math.clz32(parts);
    return Math.min(shift * 4 + (parts >>> shift), buckets - 1);
  }
}

module.exports = { Traffic };
