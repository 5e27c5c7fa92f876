// Finds out whether a new worker waits for nothing but clients, so that a reload need not watch it for long.
//
// lib/worker/worker.js calls it when the worker has listened for a second. A worker in which no timer, no start-up work
// and no connection to another server is pending will not end by itself a moment later. Node lists what is pending; a
// kind that is not known here counts as pending. The file owns one timer that keeps nothing alive, and stops it when a
// reload would no longer watch the worker.
'use strict';

const { clearInterval, setImmediate, setInterval } = require('../shared/timers');

const LOOK_MS = 40;
const LOOKS = 30;
// The channel to the master, standard input and output, servers at unix paths, and the look itself.
const STANDING = new Set(['PipeServerWrap', 'PipeWrap', 'TTYWrap', 'Immediate']);
// Connections; a server whose socket came from the master shows as one too.
const SOCKETS = new Set(['TCPServerWrap', 'TCPSocketWrap']);

/**
 * Calls `onQuiet()` once, as soon as nothing is there but at most `countSockets()` sockets: servers and
 * connections.
 */
function whenQuiet(countSockets, onQuiet) {
  let looks = 0;
  const look = () => {
    if (looks >= LOOKS) return;
    looks += 1;
    const isQuiet = waitsForClientsOnly(countSockets());
    if (isQuiet) looks = LOOKS;
    if (looks >= LOOKS) clearInterval(timer);
    if (isQuiet) onQuiet();
  };
  // A timer that runs counts as pending, so the look comes right after it.
  const timer = setInterval(() => setImmediate(look).unref(), LOOK_MS).unref();
}

function waitsForClientsOnly(sockets) {
  const pending = process.getActiveResourcesInfo?.().filter((kind) => !STANDING.has(kind));
  return pending !== undefined && pending.length <= sockets && pending.every((kind) => SOCKETS.has(kind));
}

module.exports = { whenQuiet };
