// What of this package depends on the inside of Node, where Node has no public way.
//
// Files of master, workers and command line call it. Each function reads or sets one thing, the same in
// Node 18 to 26; test/unit/node-internals.test.js checks each one on every supported Node. Where a thing is missing,
// the function does without it, and says so once to the listener of `onMissing`, with what is then not promised. The
// file owns the hooks that it sets: on `http.ServerResponse`, `process.emit`, `cluster._getServer` and, before Node 20,
// `net.Server`.
'use strict';

const cluster = require('node:cluster');
const diagnostics = require('node:diagnostics_channel');
const { EventEmitter } = require('node:events');
const net = require('node:net');
const { constants: { errno: { ECANCELED } } } = require('node:os');

const PROMISES = {
  'the list of HTTP connections': 'a worker that leaves may close a connection on which half a request has arrived',
  'the headers of an answer': 'a worker that leaves answers without "Connection: close"',
  'the answer under way': 'a worker that leaves may close a connection before its answer is out',
  'the parser of a connection': 'a worker that leaves keeps idle HTTP connections until its deadline',
  'the socket below TLS': 'a worker that leaves may cut requests over TLS',
  'the streams of an HTTP/2 session': 'a worker that leaves may cut requests over HTTP/2',
  'the advice to clients': 'the header Keep-Alive is missing from answers',
  'the accepting handle': 'connections are not spread evenly, and may wait for a busy worker while others are idle',
  'the owner of a connection': "an app's server on several ports may say 'close' too early",
  'the sockets that a worker asks for': 'a createApp that waits for a server to listen may be taken for a failed one',
  'the handle of a socket': 'a message that is sent with a socket or a server arrives without it',
  'the exit without listeners': "a stop() in process 1 of a container calls the application's listeners for 'exit'",
  'the start of a main script': 'a script that `cluster2 start` runs as it is finds another one as `require.main`',
};

const told = new Set();
let tell;

/** `listener(message)` hears once of each thing that is missing in this Node; also of what was missed before. */
function onMissing(listener) {
  tell = listener;
  for (const name of told) tell?.(textOf(name));
}

function textOf(name) {
  return `Node ${process.version} lacks "${name}" (node-internals.js): ${PROMISES[name]}`;
}

function lacks(name) {
  if (told.has(name)) return;
  told.add(name);
  tell?.(textOf(name));
}

/** Calls `adopt(server)` for each net.Server of this process when its `listen` is called, before it listens. */
function onListen(adopt) {
  let probe = new net.Server();
  let isTold = false;
  const hear = (server) => {
    if (server === probe) isTold = true;
    else adopt(server);
  };
  diagnostics.subscribe('tracing:net.server.listen:asyncStart', ({ server }) => hear(server));
  try {
    probe.listen(-1);
  } catch {
    // Refused, as it must be: it only shows whether this Node has the channel.
  }
  probe = undefined;
  if (!isTold) hookListen(adopt);
}

function hookListen(adopt) {
  const { prototype } = net.Server;
  const { listen } = prototype;
  prototype.listen = function listenAndTell(...args) {
    adopt(this);
    return Reflect.apply(listen, this, args);
  };
}

/** The server that serves a connection: the one that accepted it, or to which the application passed it on. */
function serverOf(socket) {
  return socket.server;
}

/** What a session of HTTP/2 lies upon: the accepted socket, or the stream that the application gave to the server. */
function belowSession({ socket }) {
  // Node wraps what is no socket in one of its own.
  return socket.stream ?? socket;
}

/** Whether Node has added this listener for 'uncaughtException' by itself, as it does once `node:domain` is loaded. */
function isListenerOfDomain(listener) {
  return listener.name === 'domainUncaughtExceptionClear';
}

/** What a TLS socket lies upon: the accepted socket, or the stream that the application gave to the server. */
function below(tlsSocket) {
  const parent = tlsSocket._parent ?? tlsSocket.ssl?._parentWrap;
  // What the application passes on may be no TLS socket, or one that has ended.
  if (parent === undefined && tlsSocket.ssl) lacks('the socket below TLS');
  // What is no net.Socket Node puts into an object of its own.
  return parent?.stream ?? parent;
}

/** The HTTP/1 answer that is given on a connection now, or the next one to be given. */
function answerOn(socket) {
  return socket._httpMessage ?? undefined;
}

/** Whether a connection still speaks HTTP/1. */
function speaksHttp1(socket) {
  return Boolean(socket.parser);
}

/** The HTTP/1 request that was received last on a connection, until all of it is read. */
function requestOn(socket) {
  return socket.parser?.incoming ?? undefined;
}

/**
 * The connections of `server` that are amid an HTTP/1 message, or have not received anything yet. Node lists them for
 * an HTTP server that has listened (`isListed`), and in some versions for others too.
 */
function receiving(server, isListed = false) {
  const list = server[symbolOf(server, 'http.server.connections')];
  if (typeof list?.active !== 'function') {
    if (isListed) lacks('the list of HTTP connections');
    return [];
  }
  return list.active().map((parser) => {
    const { socket } = parser;
    if (socket && socket.parser !== parser) lacks('the parser of a connection');
    return socket;
  });
}

/** The number of open streams of an HTTP/2 session. */
function openStreams(session) {
  const streams = session[symbolOf(session, 'state')]?.streams;
  if (streams === undefined && !session.destroyed) lacks('the streams of an HTTP/2 session');
  return streams?.size ?? 0;
}

function symbolOf(object, description) {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
}

/**
 * From now on `change(response, headers)` is called whenever the headers of an HTTP/1 answer are rendered, however it
 * is given; what it returns takes the place of `headers`, which are an object, an array, null or undefined.
 */
function onHeaders(change) {
  const { ServerResponse } = require('node:http');
  const { prototype } = ServerResponse;
  const { _storeHeader: storeHeader } = prototype;
  if (!marksItsSocket(ServerResponse)) lacks('the answer under way');
  if (typeof storeHeader !== 'function') {
    lacks('the headers of an answer');
    return;
  }
  prototype._storeHeader = function changeAndStoreHeader(firstLine, headers) {
    return Reflect.apply(storeHeader, this, [firstLine, change(this, headers)]);
  };
}

function marksItsSocket(ServerResponse) {
  const response = new ServerResponse({ method: 'GET', httpVersionMajor: 1, httpVersionMinor: 1 });
  const socket = new EventEmitter();
  response.assignSocket(socket);
  return answerOn(socket) === response && '_last' in response;
}

/** Node is not to end the connection after this answer, although it says close. */
function leaveOpen(response) {
  response._last = false;
}

/** Has an answer advise its client to give up the connection when it was idle for `ms`, unless Node does so already. */
function advise(response, ms) {
  if (response._keepAliveTimeout === 0) response._keepAliveTimeout = ms;
  else if (response._keepAliveTimeout === undefined) lacks('the advice to clients');
}

/** Whether the application has sent a connection to another process, which has it from then on. */
function isSentAway(socket) {
  return socket._handle === null && !socket.destroyed && !socket.connecting;
}

/** Whether a server listens on what its master lent, or serves what the master hands over. */
function isLent(server) {
  // Node's cluster module gives such a handle a `close` of its own.
  return Object.hasOwn(server._handle ?? {}, 'close');
}

/**
 * Puts `make(accept)` in the place of `accept(status, client)`, which makes a socket of each connection that `server`
 * accepts. Nothing happens unless it accepts from a TCP socket that the master lent.
 */
function replaceAccept(server, make) {
  const handle = server._handle;
  if (handle === undefined) lacks('the accepting handle');
  if (handle?.constructor.name !== 'TCP' || !isLent(server)) return;
  const { onconnection } = handle;
  if (typeof onconnection !== 'function') {
    lacks('the accepting handle');
    return;
  }
  handle.onconnection = make((status, client) => onconnection.call(handle, status, client));
}

/** The socket from which a server accepts; nothing while it does not listen. */
function handleOf(server) {
  if (server._handle === undefined) lacks('the accepting handle');
  return server._handle ?? undefined;
}

/** Calls `listener()` right before a server closes its socket `handle`. */
function onClose(handle, listener) {
  const { close } = handle;
  handle.close = function tellAndClose(...args) {
    listener();
    return Reflect.apply(close, this, args);
  };
}

/**
 * What comes in at the listening socket `other` goes to the server that accepts from `own`; `onTaken()` is called after
 * each. `other` keeps no process alive.
 */
function acceptAlso(own, other, { backlog, onTaken }) {
  if (typeof own.onconnection !== 'function') {
    lacks('the accepting handle');
    return;
  }
  other.onconnection = (status, client) => {
    own.onconnection(status, client);
    onTaken();
  };
  other.listen(backlog);
  other.unref();
}

/** Has `to` count an accepted connection in the place of `from`, for its 'close' event and `getConnections`. */
function passOn(socket, from, to) {
  // Whom a socket tells of its end.
  if (socket._server !== from) lacks('the owner of a connection');
  else {
    socket._server = to;
    from._connections -= 1;
    to._connections += 1;
  }
  socket.server = to;
}

/** How many connections `server` has, as `getConnections` would say a turn later. */
function countOf(server) {
  return server._connections ?? 0;
}

/**
 * Calls `listener(message, handle)` for each message of Node's cluster protocol, this package's own among them; with
 * `isFirst` before Node's own listener, which makes a socket of the handle in the same turn. Gives a function that ends
 * it.
 */
function onClusterMessage(listener, isFirst = false) {
  if (isFirst) process.prependListener('internalMessage', listener);
  else process.on('internalMessage', listener);
  return () => process.removeListener('internalMessage', listener);
}

/**
 * In a worker, before it listens: gives a function that says whether Node waits for a socket that the master lends.
 * When the cluster ends, the master lends nothing more: `onRefusal()` is called then, and the server or UDP socket that
 * asked waits on, since its error would be taken for a failure.
 */
function watchLoans(onRefusal) {
  const { _getServer: getServer } = cluster;
  let open = 0;
  if (typeof getServer !== 'function') {
    lacks('the sockets that a worker asks for');
    return () => false;
  }
  cluster._getServer = function askAndCount(asker, options, answer) {
    open += 1;
    return Reflect.apply(getServer, this, [asker, options, (errno, ...given) => {
      if (errno === -ECANCELED) {
        onRefusal();
        return;
      }
      open -= 1;
      answer(errno, ...given);
    }]);
  };
  return () => open > 0;
}

/**
 * From now on `holds(signal)` is called when one of `signals` comes; the process's listeners are called only if it
 * gives false, those that are hidden from `process.listeners` in any case. `keeper` is added to them, since Node hears
 * a signal only while it has a listener.
 */
function interceptSignals(signals, keeper, holds) {
  // Node binds the `emit` of the moment when the first listener is added, so those that are there are added again.
  const before = signals.map((signal) => process.rawListeners(signal));
  for (const signal of signals) process.removeAllListeners(signal);
  const { emit } = process;
  process.emit = function emitOrHold(event, first, second) {
    // Most events are messages, and V8 is slow with `arguments`.
    if (event === 'message' || event === 'internalMessage') return emit.call(this, event, first, second);
    if (signals.includes(event) && holds(event)) {
      for (const listener of hiddenListeners(event)) listener.call(this, first, second);
      return true;
    }
    return emit.apply(this, arguments);
  };
  for (const [at, signal] of signals.entries()) {
    process.on(signal, keeper);
    for (const listener of before[at]) process.on(signal, listener);
  }
}

// tsx adds a listener that tells its parent of the signal, or the parent would kill this process; it hides that one
// from `listeners`, since it decides nothing.
function hiddenListeners(signal) {
  const shown = process.listeners(signal);
  return process.rawListeners(signal).filter((listener) => !shown.includes(listener.listener ?? listener));
}

/** The descriptor of a socket or a server, UDP included; undefined once it is closed. */
function descriptorOf(object) {
  // `_handle` of a UDP socket works too, with a warning that it is deprecated.
  const state = object[symbolOf(object, 'state symbol')];
  const { handle } = state ?? { handle: object._handle };
  if (handle === undefined) lacks('the handle of a socket');
  return handle?.fd;
}

/** This process stops reading from a socket that was sent away, closes its descriptor and no longer counts it. */
function letGo(socket) {
  const handle = socket._handle;
  socket._handle = null;
  socket.setTimeout(0);
  if (socket.server) socket.server._connections -= 1;
  handle.onread = () => {};
  handle.close();
}

/** Ends this process; no listener for 'exit' is called. */
function exitUnheard(code) {
  if (typeof process.reallyExit === 'function') process.reallyExit(code);
  lacks('the exit without listeners');
  process.exit(code);
}

/** Runs the script `process.argv[1]` as `node` does, as the main module. */
function runMain() {
  const Module = require('node:module');
  if (typeof Module.runMain === 'function') return Module.runMain();
  lacks('the start of a main script');
  return require(process.argv[1]);
}

module.exports = {
  acceptAlso, advise, answerOn, below, belowSession, countOf, descriptorOf, exitUnheard, handleOf, interceptSignals,
  isLent, isListenerOfDomain, isSentAway, leaveOpen, letGo, onClose, onClusterMessage, onHeaders, onListen,
  onMissing, openStreams, passOn, receiving, replaceAccept, requestOn, runMain, serverOf, speaksHttp1, watchLoans,
};
