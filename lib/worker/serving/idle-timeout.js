'use strict';

// The option `timeout`: a connection on which nothing moved for so long is cut, whatever it was doing.
//
// The worker (and a process with `cluster: false`) calls `applyIdleTimeout` once per server, before it
// listens. It owns no timer: each socket's own one is set (`server.timeout`), and Node sets it to nothing else
// (`keepAliveTimeout` is 0). An application that sets another timeout on one of its sockets has the last word there.

const diagnostics = require('node:diagnostics_channel');
const net = require('node:net');
const { watchUpgrades } = require('../drain/websocket');

// Clients are advised to give up an idle connection this long before it is cut, or they would send into the
// cut.
const ADVICE_MARGIN = 1000;
const kSelf = Symbol('cluster2.self');
const kAdvice = Symbol('cluster2.advice');

let isAdvising = false;

/**
 * Destroys every connection of `server` that is idle for `ms` milliseconds (no byte either way), and calls
 * `onTimeout()` once for each. Counts as activity: whatever is read or written; a slow answer is idleness
 * too. Nothing happens where `ms` is 0.
 */
function applyIdleTimeout(server, ms, onTimeout) {
  if (!ms) return;
  if ('timeout' in server) server.timeout = ms;
  if ('keepAliveTimeout' in server) bound(server, ms);
  watchUpgrades(server, ({ socket }) => keepTimeout(socket, ms));
  if (isPlainHttp(server)) {
    watchPlainHttp(server, ms, onTimeout);
    return;
  }
  // Ahead of the application's listeners, so that a timeout of its own overrides ours and not the reverse.
  server.prependListener('connection', (socket) => watch(socket, ms, onTimeout));
  server.prependListener('secureConnection', (socket) => {
    // The socket below served for the handshake; it sees none of the traffic from here on.
    socket._parent?.setTimeout(0);
    watch(socket, ms, onTimeout);
  });
  server.prependListener('session', (session) => watchSession(session, ms, onTimeout));
}

module.exports = { applyIdleTimeout };

// With a `keepAliveTimeout` of its own, Node would set a new timer after each answer and another for the next request,
// which is 3 % of a short one; with none it leaves the socket's timer alone, and advises nothing. So each answer is
// given the advice here. It is left out where it would be nil.
function bound(server, ms) {
  server.keepAliveTimeout = 0;
  if (ms < 2 * ADVICE_MARGIN) return;
  server[kAdvice] = ms - ADVICE_MARGIN;
  advise();
}

function advise() {
  if (isAdvising) return;
  isAdvising = true;
  diagnostics.subscribe('http.server.request.start', ({ response, server }) => {
    const advice = server[kAdvice];
    // What Node writes into the header `Keep-Alive`; an application that has set a timeout since knows better.
    if (advice !== undefined && response._keepAliveTimeout === 0) response._keepAliveTimeout = advice;
  });
}

function isPlainHttp(server) {
  return typeof server.closeIdleConnections === 'function' && typeof server.setSecureContext !== 'function';
}

// Node itself sets the timer of each socket of an HTTP server to `server.timeout`, and tells the server when it runs
// out, so nothing is spent on a connection here. To Node a listener of the server means that somebody has dealt with
// the timeout; for one that the application chose itself, the default has to be made good.
function watchPlainHttp(server, ms, onTimeout) {
  const cut = new WeakSet();
  server.on('timeout', (socket) => {
    if (socket.timeout !== ms) {
      if (!isTimeoutHandled(server, socket)) socket.destroy();
    } else if (!cut.has(socket)) {
      cut.add(socket);
      socket.destroy();
      onTimeout();
    }
  });
  watchUpgrades(server, ({ socket }) => watch(socket, ms, onTimeout));
}

function isTimeoutHandled(server, socket) {
  const request = socket.parser?.incoming;
  const ofRequest = request && !request.complete ? request.listenerCount('timeout') : 0;
  const ofAnswer = socket._httpMessage?.listenerCount('timeout') ?? 0;
  return ofRequest > 0 || ofAnswer > 0 || server.listenerCount('timeout') > 1;
}

function watch(socket, ms, onTimeout) {
  let isCut = false;
  // Found again through the proxy that an HTTP/2 session shows in place of its socket.
  socket[kSelf] = socket;
  socket.setTimeout(ms);
  socket.on('timeout', () => {
    if (isCut || socket.timeout !== ms) return;
    isCut = true;
    socket.destroy();
    onTimeout();
  });
}

// All traffic goes through the session, whose timer is refreshed by its streams; the socket's own would see
// nothing.
function watchSession(session, ms, onTimeout) {
  const socket = session.socket[kSelf];
  let isCut = false;
  socket?.setTimeout(0);
  session.setTimeout(ms);
  session.on('timeout', () => {
    if (isCut) return;
    isCut = true;
    session.destroy();
    // Node would wait for a peer that reads nothing.
    setImmediate(() => socket?.destroy());
    onTimeout();
  });
}

// WebSocket libraries switch the timer off once they own the socket; here that means "the server's timeout".
function keepTimeout(socket, ms) {
  socket.setTimeout = function setTimeoutOrDefault(value, callback) {
    return Reflect.apply(net.Socket.prototype.setTimeout, this, [value === 0 ? ms : value, callback]);
  };
}
