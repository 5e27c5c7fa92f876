// What is known of one connection, beyond its being open: made when there is something to know.
//
// lib/worker/counting counts its requests and bytes in here; lib/worker/serving notes what lies upon the accepted
// socket (TLS, a session of HTTP/2) and that it left HTTP; lib/worker/drain decides by all of that when it may be
// closed. There is one record for a connection, reached from its socket, from the TLS socket upon it, and from its
// session.
'use strict';

const { answerOn, openStreams, requestOn, serverOf, speaksHttp1 } = require('../shared/node-internals');
const { isSecure, kindOf } = require('./serving/server-kind');

// One unmasked close frame: FIN and opcode 8, two bytes of payload, status 1001 ("going away").
const GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9]);

const kConnection = Symbol('cluster2.connection');

/** One request from its headers to the end of its answer. */
class Request {
  start = 0;
  /** Its entry in the flight recorder. */
  entry = -1;

  constructor(connection) {
    this.connection = connection;
  }
}

class Connection {
  /** Requests counted and not answered. */
  underWay = 0;
  isClosed = false;
  /** HTTP/1 answers in the order of the requests: this is the next to be answered, used again and again. */
  first = new Request(this);
  /** Those that a pipeline sent after it, if one ever did. */
  others = undefined;
  /** What was counted of the bytes that it moved. */
  bytesRead = 0;
  bytesWritten = 0;

  /** The server to which the application gave it, if it did. */
  givenTo = undefined;
  session = undefined;
  /** `{protocol, stream}` once it left HTTP. */
  upgraded = undefined;

  // While the worker drains: the bytes that had come when they last changed, and since when nothing has; whether it was
  // idle at the last look; when its client was told to go, which HTTP/2 can.
  seenBytes = 0;
  quietSince = 0;
  wasIdle = true;
  announcedAt = undefined;

  /** `socket` is what the server accepted or was given: below `top` where there is TLS. */
  constructor(socket) {
    this.socket = socket;
    /** The socket that the application sees. */
    this.top = socket;
  }

  get server() {
    return this.givenTo ?? serverOf(this.socket);
  }

  /** What holds the worker, in the words of `endNow`. */
  get kind() {
    if (this.upgraded) return this.upgraded.protocol === 'websocket' ? 'websocket' : 'tcp';
    if (this.session) return 'http2';
    if (speaksHttp1(this.top)) return 'http';
    return this.isShakingHands ? kindOf(this.server) : 'tcp';
  }

  get isShakingHands() {
    return this.top === this.socket && isSecure(this.server);
  }

  /** Requests whose answer is not out; those that wait behind another one of a pipeline count as one more. */
  get requests() {
    if (this.session) return openStreams(this.session);
    const answer = this.upgraded ? undefined : answerOn(this.top);
    if (!answer) return 0;
    const received = requestOn(this.top);
    return received && received !== answer.req ? 2 : 1;
  }

  /** True where only the client's next request is waited for; `receiving` are the sockets amid an HTTP/1 message. */
  isIdle(receiving) {
    if (this.session || this.isShakingHands) return true;
    return !answerOn(this.top) && (!hasReceived(this.top) || !receiving.has(this.top));
  }

  /** Notes that all which came so far is seen. */
  seen(now) {
    this.seenBytes = this.socket.bytesRead;
    this.quietSince = now;
  }

  /**
   * How long nothing has arrived. A connection that was busy at the last look starts anew, since its request may have
   * ended just now.
   */
  quietFor(now, isIdle) {
    if (this.socket.bytesRead !== this.seenBytes || !isIdle || !this.wasIdle) this.seen(now);
    this.wasIdle = isIdle;
    return now - this.quietSince;
  }

  /** Closes it once what was written has been sent. */
  close() {
    if (this.isShakingHands) this.socket.destroy();
    else closeSoon(this.top);
  }

  /** Ends it now; a WebSocket's client is told so first, and that of an HTTP/2 session. */
  end() {
    if (this.kind === 'websocket') sayGoingAway(this.upgraded.stream);
    // Says GOAWAY by itself, with the last stream that was served.
    else if (this.session && !this.session.destroyed) this.session.destroy();
    else this.top.destroy();
  }
}

/** The record of a socket, a TLS socket or a session, made if there is none. */
function connectionOf(socket) {
  socket[kConnection] ??= new Connection(socket);
  return socket[kConnection];
}

/** The record of a socket, or undefined. */
function knownConnection(socket) {
  return socket[kConnection];
}

/** Requests on this socket are not the application's: they are not counted, and a drain does not wait for them. */
function leaveUncounted(socket) {
  socket[kConnection] = null;
}

/** Has the record be found from `upper` as well: a TLS socket, or a session. */
function layUpon(connection, upper) {
  upper[kConnection] = connection;
}

/** Ends a socket once what was written has been sent; also one that is no net.Socket. */
function closeSoon(socket) {
  if (typeof socket.destroySoon === 'function') socket.destroySoon();
  else socket.end(() => socket.destroy());
}

module.exports = { Request, closeSoon, connectionOf, kConnection, knownConnection, layUpon, leaveUncounted };

function hasReceived(socket) {
  return socket.bytesRead === undefined ? socket.readableDidRead : socket.bytesRead > 0;
}

function sayGoingAway(stream) {
  if (!stream.writable) return;
  // The peer's answer may make the application's library write to the stream that ends here: that error is ours.
  stream.on('error', () => {});
  stream.end(GOING_AWAY);
}
