// Counts connections and requests into the worker's row of the scoreboard, for every server of the process.
//
// lib/worker/adopt-servers.js and lib/single.js make the one `Traffic` of a process; lib/worker/serving/servers.js
// calls it. Node tells of each connection and of each HTTP/1 request on its diagnostics channels; requests of HTTP/2
// are on such channels in some versions of Node only, so the servers tell of them. The file owns the list of open
// connections; lib/worker/counting/requests.js counts requests. What runs for each connection is plain stores: one
// listener serves all sockets, and nothing is made for a connection before it is needed.
// Invariant: requests begun = those under way + those answered + those aborted.
'use strict';

const { subscribe } = require('node:diagnostics_channel');

const { isSentAway } = require('../../shared/node-internals');
const { Request, connectionOf, kConnection, knownConnection } = require('../connection');
const { OpenConnections } = require('./open-connections');
const { requestCounts } = require('./requests');
const { ShortConnections } = require('./short-connections');

// How many open connections are asked per look for what they moved; asking all of many would stop the loop.
const ASKED_PER_LOOK = 1000;

class Traffic {
  #board;
  #numbers;
  #at;
  // Where requests are counted into the row.
  #counts;
  #requests = 0;
  #onClose;
  /** The connections that are open. */
  open = new OpenConnections((socket) => this.#closed(socket));
  /** How soon connections close. */
  shortConnections = new ShortConnections();

  constructor(board) {
    this.#board = board;
    this.#numbers = board.numbers;
    this.#at = board.at;
    const traffic = this;
    this.#onClose = function onClose() { traffic.#closed(this); };
    this.#watchConnections();
  }

  /** Connections accepted since the start. */
  get connections() {
    return this.#board.get('connectionsTotal');
  }

  /** Requests received since they are counted. */
  get requests() {
    return this.#counts ? this.#board.get('requestsTotal') : this.#requests;
  }

  /** Counts requests from now on: into the row with `metrics`, else only as far as `requestThreshold` needs it. */
  countRequests({ metrics, flightRecorder, requestThreshold }) {
    if (metrics) {
      this.#counts = requestCounts(this.#board, flightRecorder);
      this.#watchRequests();
    } else if (requestThreshold) {
      subscribe('http.server.request.start', () => { this.#requests += 1; });
    }
  }

  /** Counts a connection that was cut by the idle timeout. */
  timedOut() {
    this.#board.add('timedOutSockets');
  }

  /** Lists a connection that was given to a server and not accepted. It is not counted, but its requests are. */
  given(socket) {
    if (this.open.add(socket)) socket.on('close', this.#onClose);
  }

  /** Counts a request of HTTP/2. */
  stream(stream, headers) {
    if (!this.#counts) {
      this.#requests += 1;
      return;
    }
    const { begin, answered, aborted } = this.#counts;
    const request = new Request(connectionOf(stream.session));
    begin(request, headers[':method'] ?? '', headers[':path'] ?? '');
    stream.once('close', () => {
      const status = stream.sentHeaders?.[':status'];
      if (status !== undefined && stream.rstCode === 0) answered(request, status);
      else aborted(request);
    });
  }

  /** Asks open connections what they have moved. */
  look() {
    this.open.visit(ASKED_PER_LOOK, (socket) => {
      if (isSentAway(socket)) this.#closed(socket);
      else this.#addMoved(socket, connectionOf(socket));
    });
  }

  #watchConnections() {
    const numbers = this.#numbers;
    const { open } = this;
    const board = this.#board;
    const onClose = this.#onClose;
    const { connectionsOpen, connectionsTotal, tick } = this.#at;
    subscribe('net.server.socket', ({ socket }) => {
      numbers[connectionsTotal] += 1;
      numbers[connectionsOpen] += 1;
      board.accept();
      // The time of the last loop turn is accurate enough and saves a look at the clock.
      if (open.add(socket, numbers[tick])) socket.on('close', onClose);
    });
  }

  #watchRequests() {
    const { begin, answered } = this.#counts;
    subscribe('http.server.request.start', ({ request, socket }) => {
      const connection = socket[kConnection] ?? this.#follow(socket);
      if (connection === undefined) return;
      let begun = connection.first;
      if (connection.underWay > 0) {
        begun = new Request(connection);
        connection.others ??= [];
        connection.others.push(begun);
      }
      begin(begun, request.method, request.url);
    });
    subscribe('http.server.response.finish', ({ response, socket }) => {
      const connection = socket[kConnection];
      // One that had begun before they were counted, or is not counted.
      if (connection == null || connection.underWay === 0) return;
      answered(connection.first, response.statusCode);
      if (connection.others !== undefined && connection.others.length > 0) connection.first = connection.others.shift();
    });
  }

  // Makes the record of a connection, if it is to be counted; one of which nobody has told is listed.
  #follow(socket) {
    if (socket[kConnection] === null) return undefined;
    const connection = connectionOf(socket);
    this.given(socket);
    return connection;
  }

  #closed(socket) {
    const connection = knownConnection(socket);
    const openedAt = this.open.remove(socket);
    if (openedAt !== undefined) {
      this.#numbers[this.#at.connectionsOpen] -= 1;
      this.#board.addLoad(-1);
      this.shortConnections.closed(openedAt, this.#numbers[this.#at.tick]);
      this.#addMoved(socket, connection);
    }
    if (connection !== undefined && !connection.isClosed) this.#end(connection);
  }

  #end(connection) {
    if (this.#counts) this.#counts.abandoned(connection);
    connection.isClosed = true;
  }

  #addMoved(socket, connection) {
    const { bytesRead, bytesWritten } = socket;
    // A stream that was given to a server doesn't count them.
    if (bytesRead === undefined) return;
    const numbers = this.#numbers;
    numbers[this.#at.bytesRead] += bytesRead - (connection?.bytesRead ?? 0);
    numbers[this.#at.bytesWritten] += bytesWritten - (connection?.bytesWritten ?? 0);
    if (connection === undefined) return;
    connection.bytesRead = bytesRead;
    connection.bytesWritten = bytesWritten;
  }
}

module.exports = { Traffic };
