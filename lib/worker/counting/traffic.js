// Counts connections and requests into a worker's row, whoever made the server: Node tells of each by its diagnostics
// channels. HTTP/2 has such channels on some versions of Node only, so its servers are told to us.
//
// lib/worker/worker.js makes one `Traffic`, and calls `look` about once a second. It owns the list of open
// connections, and a record for each that was asked for something; what is counted of requests is
// lib/worker/counting/requests.js' affair. What runs for each connection is kept to plain stores: one listener serves
// all sockets, and nothing is made for a connection before it is needed.
// Invariant: requests begun = those under way + those answered + those aborted.
'use strict';

const diagnostics = require('node:diagnostics_channel');

const { OpenConnections } = require('../drain/open-connections');
const { Request, requestCounts } = require('./requests');
const { Turnover } = require('./short-connections');

// How many open connections are asked per look for what they moved; asking all of many would stop the loop.
const ASKED_PER_LOOK = 1000;

const kConnection = Symbol('cluster2.traffic.connection');

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
  #open = new OpenConnections();
  // Where requests are counted.
  #requests;
  #onClose;
  /** How soon connections close. */
  turnover = new Turnover();

  constructor(board, { metrics, flightRecorder }) {
    this.#board = board;
    this.#numbers = board.numbers;
    this.#at = board.at;
    if (metrics) this.#requests = requestCounts(board, flightRecorder);
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
    if (!this.#requests || typeof server.updateSettings !== 'function') return;
    const { begin, answered, aborted } = this.#requests;
    server.prependListener('stream', (stream, headers) => {
      const connection = stream.session[kConnection] ?? this.#follow(stream.session);
      const request = new Request(connection);
      begin(request, headers[':method'] ?? '', headers[':path'] ?? '');
      stream.once('close', () => {
        const status = stream.sentHeaders?.[':status'];
        if (status !== undefined && stream.rstCode === 0) answered(request, status);
        else aborted(request);
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
    const { begin, answered } = this.#requests;
    diagnostics.subscribe('http.server.request.start', ({ request, socket }) => {
      const connection = socket[kConnection] ?? this.#follow(socket);
      let begun = connection.first;
      if (connection.underWay > 0) {
        begun = new Request(connection);
        connection.others ??= [];
        connection.others.push(begun);
      }
      begin(begun, request.method, request.url);
    });
    diagnostics.subscribe('http.server.response.finish', ({ response, socket }) => {
      const connection = socket[kConnection];
      // One that had begun before we counted.
      if (connection === undefined || connection.underWay === 0) return;
      answered(connection.first, response.statusCode);
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

  #closed(socket) {
    const connection = socket[kConnection];
    const openedAt = this.#open.remove(socket);
    if (openedAt !== undefined) {
      this.#numbers[this.#at.connectionsOpen] -= 1;
      this.#board.addLoad(-1);
      this.turnover.closed(openedAt, this.#numbers[this.#at.tick]);
      this.#addMoved(socket, connection);
    }
    if (connection !== undefined) this.#requests?.abandoned(connection);
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
}

module.exports = { Traffic };
