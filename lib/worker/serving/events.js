// Sees the events of a server that the application listens for, before the application does, without being a listener.
//
// lib/worker/serving/servers.js calls it once for each server. A listener of ours would show in `listenerCount`, and
// for 'upgrade', 'connect', 'timeout', 'stream' and 'checkContinue' it would change what Node does. So the server
// gets an `emit` of its own. It costs the two events of a request and a connection one comparison or two (8 ns).
'use strict';

const { serverOf } = require('../../shared/node-internals');

/**
 * From now on the events of a server are seen. `adopted` has `server`, `isDraining` and `ecvPath`.
 *
 * - `connection(adopted, socket, isGiven)` comes before each 'connection'; `isGiven` says that the application passes
 *   on what the server did not accept itself.
 * - `seen.get(event)(adopted, first, second, emit)` comes before other events, and before requests that are near the
 *   ECV path or come while the server drains. If it gives true the application is not told, unless it calls `emit()`.
 */
function seeEvents(adopted, connection, seen) {
  const { server } = adopted;
  const { emit } = server;
  server.emit = function emitWhatIsSeen(event, first, second) {
    if (event === 'request' && !adopted.isDraining && !isNear(first, adopted.ecvPath)) {
      // V8 is slow with `arguments` (0.1 us).
      return emit.call(this, event, first, second);
    }
    if (event === 'connection' && first) {
      connection(adopted, first, serverOf(first) !== server);
      return emit.call(this, event, first);
    }
    const see = seen.get(event);
    if (see !== undefined && see(adopted, first, second, () => emit.apply(this, arguments)) === true) return true;
    return emit.apply(this, arguments);
  };
}

function isNear(request, path) {
  return path !== undefined && typeof request?.url === 'string' && request.url.startsWith(path);
}

module.exports = { seeEvents };
