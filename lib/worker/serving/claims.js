// Lets the master take back a connection that it has handed to this worker and that this worker has not begun to
// serve: the worker may have been stopped, or its loop blocked, the moment after.
//
// lib/worker/adopt-servers.js starts it once. Master and worker agree through two words of the scoreboard's header.
// The worker writes the number of a connection into `claimed` before it serves it, then reads `revoked`; the master
// writes a number into `revoked`, then reads `claimed`. Whichever comes first is seen by the other: a connection that
// was claimed is left to the worker, and one that was revoked before is given back as refused. If each sees the
// other, the worker refuses it and the master waits for that answer.
// Invariant: a connection is served by one worker.
'use strict';

const { onClusterMessage } = require('../../shared/node-internals');
const { send } = require('../send-to-master');

/** Begins; `board` is this worker's scoreboard. */
function guardHandOvers(board) {
  if (!board.isShared) return;
  const { header, layout, row } = board;
  // Atomics order a store before a load, which plain numbers don't.
  const words = new BigInt64Array(header.buffer, header.byteOffset, header.length);
  const claimed = layout.header.claimed + row;
  const revoked = layout.header.revoked + row;
  // Before Node's own listener, which hands the connection to its server.
  onClusterMessage((message, handle) => {
    if (message?.cmd !== 'NODE_CLUSTER' || message.act !== 'newconn' || !handle) return;
    const seq = BigInt(message.seq);
    Atomics.store(words, claimed, seq);
    if (Atomics.load(words, revoked) < seq) return;
    message.act = 'revoked';
    handle.close();
    send({ cmd: 'NODE_CLUSTER', ack: message.seq, accepted: false });
  }, true);
}

module.exports = { guardHandOvers };
