// The option `timeout`: a connection on which nothing moved for so long is cut, whatever it was doing.
//
// lib/worker/serving/servers.js calls it. It owns no timer. An HTTP server keeps the time itself: its `timeout` is set,
// if the application has not chosen one, and Node tells the server when a connection has been idle for so long. On raw
// connections, and while TLS shakes hands, the timer of the socket is set. What the application chooses, for a server
// or for a socket, stands; a connection that left HTTP is its own affair.
'use strict';

const { subscribe } = require('node:diagnostics_channel');

const { knownConnection } = require('../connection');
const { advise, answerOn } = require('../../shared/node-internals');
const { setImmediate } = require('../../shared/timers');

// Clients are advised to give up an idle connection this long before it is cut, or they would send into the cut.
const ADVICE_MARGIN = 1000;
// On a server: how long a connection may be idle, if no timeout of the application counts.
const kIdle = Symbol('cluster2.idle');

let defaults;
let isWatchingRequests = false;

/** What Node gives to a server for which nobody chooses anything. */
function nodeDefaults() {
  defaults ??= new (require('node:http').Server)();
  return defaults;
}

/** Fills in the timeouts of a server that the application left alone; `ms` is the option's, or 0. */
function fillTimeouts({ isSecure, kind, server }, ms) {
  if (!ms || kind === 'tcp') return;
  const { keepAliveTimeout, timeout } = nodeDefaults();
  const isOurs = server.timeout === timeout;
  if (isOurs) server.timeout = ms;
  // Some versions of Node leave it out where HTTP/1 is spoken beside HTTP/2.
  const isLeftOut = isSecure && server.keepAliveTimeout === undefined;
  if (!isLeftOut && server.keepAliveTimeout !== keepAliveTimeout) return;
  // With a `keepAliveTimeout` of its own, Node would set a new timer after each answer and another for the next
  // request, which is 3 % of a short one; with none it leaves the socket's timer alone.
  server.keepAliveTimeout = isOurs ? 0 : ms;
  server[kIdle] = ms;
  watchRequests();
}

/** Node says that a connection or session of `server` was idle: gives whether that was by the option, and ends it. */
function cutIdle(server, idle, ms) {
  if (!ms || idle.timeout !== ms || server.timeout !== ms || idle.destroyed) return false;
  const connection = knownConnection(idle);
  idle.destroy();
  // A session waits for its client to go as well, which may read nothing.
  if (connection?.session === idle) setImmediate(() => connection.socket.destroy());
  return true;
}

/** Cuts a socket that is idle for `ms`, and calls `onTimeout()`; nothing happens once the socket's time is another. */
function watchSocket(socket, ms, onTimeout) {
  // What the application gave to its server may have no timer.
  if (!ms || typeof socket.setTimeout !== 'function') return;
  socket.setTimeout(ms);
  socket.on('timeout', () => {
    if (socket.timeout !== ms || socket.destroyed) return;
    socket.destroy();
    onTimeout();
  });
}

/** A socket has no idle timeout from now on, if its time was the option's. */
function unwatchSocket(socket, ms) {
  if (ms && socket?.timeout === ms) socket.setTimeout(0);
}

module.exports = { cutIdle, fillTimeouts, unwatchSocket, watchSocket };

function watchRequests() {
  if (isWatchingRequests) return;
  isWatchingRequests = true;
  subscribe('http.server.request.start', ({ response, server }) => {
    const ms = server[kIdle];
    if (ms === undefined || server.keepAliveTimeout !== 0) return;
    // The application has chosen a `timeout` since: Node is to tell idle connections from slow answers.
    if (server.timeout !== ms) server.keepAliveTimeout = ms;
    // It is left out where it would be nil.
    else if (ms >= 2 * ADVICE_MARGIN) advise(response, ms - ADVICE_MARGIN);
  });
  subscribe('http.server.response.finish', ({ server, socket }) => {
    const ms = server[kIdle];
    if (ms === undefined || socket.timeout === ms || server.keepAliveTimeout !== 0) return;
    // A timeout that was chosen for one request does not count for what follows, as in Node. The answer is off the
    // socket once this turn is over.
    process.nextTick(() => {
      if (server.timeout === ms && !answerOn(socket)) socket.setTimeout?.(ms);
    });
  });
}
