// One server on several ports: Node lets a server listen once, so each further port gets a plain net.Server.
//
// lib/worker/serving/listening.js calls `extraServer` once for each further port and listens with what it returns. An
// extra server owns its listening socket and nothing else: each connection is handed to the application's server by the
// same 'connection' event that its own socket would cause, and is counted there, so that requests, timeouts,
// `getConnections`, `maxConnections` and 'close' behave as if there were one server on all ports.
'use strict';

const net = require('node:net');

const { countOf, passOn } = require('../../shared/node-internals');

// What an accepted socket takes over from the server that accepts it.
const ACCEPT_SETTINGS = [
  'allowHalfOpen', 'pauseOnConnect', 'noDelay', 'keepAlive', 'keepAliveInitialDelay', 'highWaterMark',
  'blockList',
];
const extras = new WeakMap();
const all = new WeakSet();

/** Makes a net.Server, not listening yet, whose connections are those of `server`. */
function extraServer(server) {
  const extra = new net.Server();
  all.add(extra);
  for (const setting of ACCEPT_SETTINGS) {
    if (setting in server) extra[setting] = server[setting];
  }
  extra.on('connection', (socket) => {
    passOn(socket, extra, server);
    server.emit('connection', socket);
  });
  extra.on('drop', (data) => server.emit('drop', data));
  shareLimit(extra, server);
  if (!extras.has(server)) {
    extras.set(server, []);
    closeTogether(server);
  }
  extras.get(server).push(extra);
  return extra;
}

/** The extra servers of `server`, in the order of their making. */
function extraServers(server) {
  return [...extras.get(server) ?? []];
}

/** Whether a server is an extra one. */
function isExtra(server) {
  return all.has(server);
}

module.exports = { extraServer, extraServers, isExtra };

// The extra server's own count stays at zero, so its limit is what the application's server has left. Node 18
// reads zero as "no limit"; a negative one is refused by every version.
function shareLimit(extra, server) {
  Object.defineProperty(extra, 'maxConnections', {
    configurable: true,
    get: () => {
      if (server.maxConnections === undefined || server.maxConnections === null) return undefined;
      const left = server.maxConnections - countOf(server);
      return left > 0 ? left : -1;
    },
  });
}

function closeTogether(server) {
  const { close } = server;
  server.close = function closeAllPorts(...args) {
    for (const extra of extraServers(server)) extra.close();
    return Reflect.apply(close, this, args);
  };
}
