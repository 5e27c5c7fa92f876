'use strict';

// Connections that left HTTP: who upgraded, and how a WebSocket is told goodbye.
//
// The drain and the idle timeout call it in every worker. It owns one listener per server for each of
// 'upgrade' and 'connect', which is there only while the application has a listener of its own: the mere
// presence of one makes Node treat requests as upgrades, so ours must never be the first nor the last.

const EVENTS = ['upgrade', 'connect'];
// One unmasked close frame: FIN and opcode 8, two bytes of payload, status 1001 ("going away").
const GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9]);
const observers = new WeakMap();

/**
 * Calls `observer(request, stream)` for every HTTP/1 connection of `server` that is upgraded or becomes a
 * tunnel, before the application's own listener runs.
 */
function watchUpgrades(server, observer) {
  const known = observers.get(server);
  if (known) {
    known.push(observer);
    return;
  }
  const list = [observer];
  observers.set(server, list);
  for (const event of EVENTS) follow(server, event, list);
}

/** Sends the close frame 1001 after what is already queued, and ends the stream. */
function sayGoingAway(stream) {
  if (!stream.writable) return;
  // The peer's answer may make the application's library write to the stream that ends here: that error is
  // ours.
  stream.on('error', () => {});
  stream.end(GOING_AWAY);
}

module.exports = { watchUpgrades, sayGoingAway };

function follow(server, event, list) {
  let attached = false;
  const watch = (request, stream) => {
    // An HTTP/2 CONNECT is one stream of a session, not a connection of its own.
    if (request.httpVersionMajor !== 1) return;
    for (const observer of list) observer(request, stream);
  };
  const attach = () => {
    if (attached) return;
    attached = true;
    server.prependListener(event, watch);
  };
  if (server.listenerCount(event) > 0) attach();
  server.on('newListener', (name, listener) => {
    if (name === event && listener !== watch) attach();
  });
  server.on('removeListener', (name, listener) => {
    if (name !== event || !attached) return;
    if (listener === watch) attached = false;
    else if (server.listenerCount(event) === 1) server.removeListener(event, watch);
  });
}
