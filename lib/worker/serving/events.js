// Sees the events of a server that the application listens for, before the application does, without being a listener.
//
// lib/worker/serving/servers.js calls it once for each server. A listener of ours would show in `listenerCount`, and
// for 'upgrade', 'connect', 'timeout', 'stream' and 'checkContinue' it would change what Node does. So the server
// gets an `emit` of its own, which passes every argument on: the server may be of a class of the application's, with
// events that only have the names of Node's. It costs a request no more than 15 ns.
'use strict';

const SLASH = '/'.charCodeAt(0);

/**
 * From now on the events of a server are seen. `adopted` has `server`, `isDraining` and `ecvPath`.
 *
 * `seen.get(event)(first, second, emit)` is called before the event; before a 'request' only if that may be for the ECV
 * path or comes while the server drains. If it gives true the application is not told, unless it calls `emit()`.
 */
function seeEvents(adopted, seen) {
  const { server } = adopted;
  // An `emit` of the class is looked up at each event: a library that is loaded later may wrap it for all servers.
  const source = Object.hasOwn(server, 'emit') ? { emit: server.emit } : Object.getPrototypeOf(server);
  server.emit = function emitWhatIsSeen(event, ...args) {
    const isPlain = event === 'request' && !adopted.isDraining && !mayBeEcv(args[0], adopted.ecvPath);
    const see = isPlain ? undefined : seen.get(event);
    if (see === undefined) return source.emit.call(this, event, ...args);
    const emit = () => source.emit.call(this, event, ...args);
    return see(args[0], args[1], emit) === true || emit();
  };
}

// Proxies ask for a whole address, which begins with no slash.
function mayBeEcv(request, path) {
  if (path === undefined || typeof request?.url !== 'string') return false;
  return request.url.startsWith(path) || request.url.charCodeAt(0) !== SLASH;
}

module.exports = { seeEvents };
