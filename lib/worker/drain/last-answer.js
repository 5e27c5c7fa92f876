// `Connection: close` on the right answer of each HTTP/1 connection, while its server drains.
//
// The right answer is the one to the last request that was received: a close on an earlier one would lose the rest of a
// pipeline. So lib/worker/serving/servers.js passes requests on by `whenAllHasCome`: the application gets them at the
// end of the loop's turn, when all that had arrived is parsed. And whether an answer is the last is decided when its
// headers are rendered, which every way of answering comes to. Until `closeAfterLastAnswer` nothing here runs.
'use strict';

const {
  answerOn, leaveOpen, onHeaders, receiving, requestOn, serverOf, speaksHttp1,
} = require('../../shared/node-internals');
const { closeSoon } = require('../connection');
const { setImmediate } = require('../../shared/timers');

const draining = new WeakSet();
// Sockets on which a request waits for the end of the turn.
const held = new WeakMap();
// By server, the sockets amid a message; true until the code that runs now is done, since nothing arrives before.
const looks = new Map();
let isHooked = false;

/** From now on the last answer on each HTTP/1 connection of `server` says close, and ends the connection. */
function closeAfterLastAnswer(server) {
  draining.add(server);
  if (isHooked) return;
  isHooked = true;
  onHeaders((response, headers) => {
    if (!isLastAnswer(response)) return headers;
    response.shouldKeepAlive = false;
    awaitUpload(response);
    if (isKeepAlive(response.getHeader('connection'))) response.setHeader('Connection', 'close');
    return withoutKeepAlive(headers);
  });
}

/** Calls `handle()`, which gives `request` to the application, once all that had arrived with it is parsed. */
function whenAllHasCome(server, request, handle) {
  const { socket } = request;
  holdHalfOpen(server, socket);
  setImmediate(() => {
    releaseHalfOpen(socket);
    // A client that has gone meanwhile gets no answer, and the application could not see any more that it goes.
    if (!request.destroyed && !socket.destroyed) handle();
  });
}

module.exports = { closeAfterLastAnswer, whenAllHasCome };

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

function isLastAnswer(response) {
  const request = response.req;
  const socket = request?.socket;
  if (!socket || !speaksHttp1(socket) || !draining.has(serverOf(socket)) || !response.shouldKeepAlive) return false;
  const received = requestOn(socket);
  if (received && received !== request) return false;
  // This request is received wholly, and yet a message is on its way: the close belongs to that one's answer.
  return !(request.complete && isReceiving(socket));
}

// To list them costs time, and thousands of answers may be given at once.
function isReceiving(socket) {
  const server = serverOf(socket);
  if (looks.size === 0) process.nextTick(() => looks.clear());
  if (!looks.has(server)) looks.set(server, receiving(server));
  return looks.get(server).includes(socket);
}

// An answer may be out before its request is wholly received. To close then would reset the connection, and
// the client could lose the answer; so the rest of the upload is read first.
function awaitUpload(response) {
  const { req: request } = response;
  const { socket } = request;
  if (request.complete) return;
  response.prependOnceListener('finish', () => {
    if (request.complete) return;
    leaveOpen(response);
    request.once('end', () => {
      if (!answerOn(socket)) closeSoon(socket);
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
