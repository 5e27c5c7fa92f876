// How a server begins to listen.
//
// lib/worker/serving/servers.js is the only caller. Node looks up every host, also one that is an address, and since
// version 22 that makes it compile a regular expression for IPv6: a tenth of all that a worker does until it listens
// (ARCHITECTURE, "Cost of a start"). The master has looked already. So a worker that means the master's own host
// (lib/master/worker-settings.js tells it) names the port alone, as a descriptor of the master's (`listen({fd})`)
// with a number that no descriptor has.
'use strict';

const net = require('node:net');

// A port of the master's host, plus this: src/ipc/listen.rs knows it.
const PORT_OF_HOST = 0x7fff0000;

/**
 * Listens on `port`, a number or a path; resolves when it does, rejects with the server's error. `knownHost` is the
 * address on which the master can be asked for a port; undefined where there is none.
 */
function listening(server, port, where) {
  return new Promise((resolve, reject) => {
    const done = (settle) => (value) => {
      server.removeListener('error', failed);
      server.removeListener('listening', opened);
      settle(value);
    };
    const failed = done(reject);
    const opened = done(resolve);
    server.once('error', failed);
    server.once('listening', opened);
    begin(server, port, where);
  });
}

module.exports = { listening };

function begin(server, port, { host, backlog, knownHost }) {
  if (typeof port === 'string') server.listen({ path: port, backlog });
  // A server with a `listen` of its own expects an address.
  else if (host !== knownHost || server.listen !== net.Server.prototype.listen) server.listen({ port, host, backlog });
  else beginByMaster(server, port, host, backlog);
}

function beginByMaster(server, port, host, backlog) {
  const failed = (error) => complete(error, host, port);
  // Before all others who hear of it.
  server.prependOnceListener('error', failed);
  server.once('listening', () => server.removeListener('error', failed));
  server.listen({ fd: PORT_OF_HOST + port }, backlog);
}

// Node knows no address, and says "bind EADDRINUSE" alone.
function complete(error, address, port) {
  if (error.address) return;
  const message = `${error.message} ${port > 0 ? `${address}:${port}` : address}`;
  error.stack = error.stack.replace(error.message, message);
  Object.assign(error, { message, address, port });
}
