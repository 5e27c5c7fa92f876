'use strict';

// `Connection: close` on the right answer of each HTTP/1 connection, while a server drains.
//
// The drain calls `closeAfterLastAnswer` once per server when it begins; before that nothing here runs. The
// right answer is the one to the last request that was received: a close on an earlier one would lose the
// rest of a pipeline. Two things make that known in time. Events that hand a request to the application wait
// for the end of the loop's turn, when all that had arrived is parsed; and the choice falls when an answer's
// headers are rendered, in `_storeHeader`, which every way of answering passes through. That method,
// `socket._httpMessage`, `response._last` and the list of parsers behind a symbol are Node's own; they are
// the same in Node 18 to 26, and the tests run on each. Without the list a message half received looks like
// none; without the method answers keep the connection open, and the drain closes it when it is idle.

const HANDED_TO_APPLICATION = new Set(['request', 'checkContinue', 'checkExpectation']);
const draining = new WeakSet();
// Sockets on which a request waits for the end of the turn.
const held = new WeakMap();
let hooked = false;

/** From now on the last answer on each HTTP/1 connection of `server` says close, and ends the connection. */
function closeAfterLastAnswer(server) {
  if (draining.has(server)) return;
  draining.add(server);
  hookHeaders();
  const { emit } = server;
  server.emit = function emitLater(...args) {
    const [event, request] = args;
    if (!HANDED_TO_APPLICATION.has(event) || request?.httpVersionMajor !== 1) {
      return Reflect.apply(emit, this, args);
    }
    holdHalfOpen(server, request.socket);
    setImmediate(() => {
      releaseHalfOpen(request.socket);
      Reflect.apply(emit, this, args);
    });
    return true;
  };
}

/** The HTTP/1 parsers of `server` that are amid a message, or have not received anything yet. */
function activeParsers(server) {
  return connectionsList(server)?.active?.() ?? [];
}

/** The HTTP/1 parsers of `server`, one per connection that did not leave HTTP; undefined where Node keeps no list. */
function allParsers(server) {
  return connectionsList(server)?.all?.();
}

module.exports = { closeAfterLastAnswer, activeParsers, allParsers };

function connectionsList(server) {
  const symbol = Object.getOwnPropertySymbols(server)
    .find((candidate) => candidate.description === 'http.server.connections');
  return server[symbol];
}

// A client may send its request and end its side at once. Node ends ours when it sees that, which is harmless
// where the handler has already run, but would lose the answer to a request that waits here. So for as long
// as one waits, the 'end' of its socket finds half-open connections allowed. (Seen with TLS, where request
// and end are read at once.)
function holdHalfOpen(server, socket) {
  const hold = held.get(socket);
  if (hold) {
    hold.waiting += 1;
    return;
  }
  let before;
  const allow = () => {
    before = server.httpAllowHalfOpen;
    server.httpAllowHalfOpen = true;
    // TLS sockets are ended by the stream itself. From here on the answer's end is theirs too.
    socket.allowHalfOpen = true;
  };
  const restore = () => {
    server.httpAllowHalfOpen = before;
  };
  socket.prependListener('end', allow);
  socket.on('end', restore);
  held.set(socket, { waiting: 1, allow, restore });
}

function releaseHalfOpen(socket) {
  const hold = held.get(socket);
  hold.waiting -= 1;
  if (hold.waiting > 0) return;
  held.delete(socket);
  socket.removeListener('end', hold.allow);
  socket.removeListener('end', hold.restore);
}

function hookHeaders() {
  const { prototype } = require('node:http').ServerResponse;
  const { _storeHeader: storeHeader } = prototype;
  if (hooked || typeof storeHeader !== 'function') return;
  hooked = true;
  prototype._storeHeader = function storeLastHeader(firstLine, headers) {
    if (!isLastAnswer(this)) return Reflect.apply(storeHeader, this, [firstLine, headers]);
    this.shouldKeepAlive = false;
    awaitUpload(this);
    if (isKeepAlive(this.getHeader('connection'))) this.setHeader('Connection', 'close');
    return Reflect.apply(storeHeader, this, [firstLine, withoutKeepAlive(headers)]);
  };
}

function isLastAnswer(response) {
  const request = response.req;
  const socket = request?.socket;
  if (!socket?.parser || !draining.has(socket.server) || !response.shouldKeepAlive) return false;
  const { parser } = socket;
  if (parser.incoming && parser.incoming !== request) return false;
  // This request is received wholly, and yet a message is on its way: the close belongs to that one's answer.
  return !(request.complete && activeParsers(socket.server).includes(parser));
}

// An answer may be out before its request is wholly received. To close then would reset the connection, and
// the client could lose the answer; so the rest of the upload is read first.
function awaitUpload(response) {
  const { req: request } = response;
  const { socket } = request;
  if (request.complete) return;
  response.prependOnceListener('finish', () => {
    if (request.complete) return;
    response._last = false;
    request.once('end', () => {
      if (!socket._httpMessage) socket.destroySoon();
    });
  });
}

function isKeepAlive(value) {
  return typeof value === 'string' && value.trim().toLowerCase() === 'keep-alive';
}

// Headers come as an object, as pairs, or as names and values in turn. A keep-alive that the application
// asked for (proxies pass it on, SSE servers set it) gives way; "Connection: Upgrade" and the like stay.
function withoutKeepAlive(headers) {
  const corrected = (name, value) => (/^connection$/i.test(name) && isKeepAlive(value) ? 'close' : value);
  if (!headers || typeof headers !== 'object') return headers;
  if (!Array.isArray(headers)) {
    const name = Object.keys(headers).find((key) => corrected(key, headers[key]) !== headers[key]);
    return name === undefined ? headers : { ...headers, [name]: 'close' };
  }
  if (Array.isArray(headers[0])) return headers.map(([name, value]) => [name, corrected(name, value)]);
  return headers.map((value, index) => (index % 2 === 0 ? value : corrected(headers[index - 1], value)));
}
