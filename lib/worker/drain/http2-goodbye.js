// How a client of HTTP/2 is told to go, so that it gives up no request that it has made.
//
// lib/worker/drain/drain.js calls it for each session while the worker drains. Clients give up requests that they have
// made and not yet sent when they learn that they are to go (Node's own does, with REFUSED_STREAM, though nothing was
// refused). So a session is told when a request of it has just come and no other is under way: then the client has sent
// what it had to send, and hears of the GOAWAY before it has the answer and something new to ask. A session that is
// never in that state is told when half of the grace is over.
'use strict';

const { openStreams } = require('../../shared/node-internals');
const { performance } = require('../../shared/timers');

// How long a client with streams under way may take to answer the ping that says whether it has heard of the GOAWAY.
const LONGEST_PONG = 5000;
// The GOAWAY that only announces: every stream id that a client could still use lies below it.
const ANY_STREAM = 2 ** 31 - 1;

/** The drain begins, or has begun when the session is opened. */
function announce(connection, grace) {
  const { session } = connection;
  if (session.destroyed || session.closed) return;
  const lateFrom = performance.now() + grace / 2;
  session.on('stream', () => {
    if (openStreams(session) <= 1 || performance.now() >= lateFrom) sayGoaway(connection);
  });
}

/**
 * The grace `isDue`, and for as long nothing came if it `isQuiet`: tells the client if it has not been told, and closes
 * the session if it has. Streams under way still finish; their number decides when the session goes.
 */
function release(connection, { now, grace, isDue, isQuiet }) {
  const { announcedAt, session, socket } = connection;
  const isBusy = openStreams(session) > 0;
  // A client that has taken the GOAWAY and waits for no answer may answer no ping any more.
  const patience = isBusy ? Math.max(grace, LONGEST_PONG) : grace;
  const isDeaf = announcedAt !== undefined && now - announcedAt >= patience - 1;
  if (session.destroyed) {
    // Node waits for the client to close its side too, which it may never do.
    if (isDue && isQuiet) socket.destroy();
  } else if (!session.closed && isDue) {
    if (announcedAt === undefined && isBusy) sayGoaway(connection);
    else if (announcedAt === undefined ? isQuiet : isDeaf) session.close();
  }
}

module.exports = { announce, release };

// The answer to a ping says that the client knows; but a client may send that answer ahead of requests that it
// had made before (answers to pings overtake other frames in its queue), and those come right behind it. So a
// second ping follows: when that is answered, every stream that the client had opened before it knew is here,
// and none but these are to be served. A client that answers no ping has the grace.
function sayGoaway(connection) {
  const { announcedAt, session } = connection;
  if (announcedAt !== undefined || session.destroyed || session.closed) return;
  connection.announcedAt = performance.now();
  session.goaway(0, ANY_STREAM);
  ping(session, () => ping(session, () => session.close()));
}

function ping(session, onAnswer) {
  session.ping(() => {
    if (!session.destroyed && !session.closed) onAnswer();
  });
}
