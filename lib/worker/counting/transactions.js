// Counts into the row the transactions and errors that the application reports by events of its own, as in cluster2.
//
// lib/worker/serve-and-end.js starts it once. Owns nothing.
'use strict';

/** Counts what is emitted on `cluster` into `board`. */
function countTransactions(cluster, board) {
  cluster.on('rootTransaction', (transaction) => {
    board.add('transactions');
    const duration = durationOf(transaction);
    if (duration > 0 && Number.isFinite(duration)) board.add('transactionMs', duration);
  });
  cluster.on('errorTransaction', () => board.add('errors'));
}

module.exports = { countTransactions };

// Scripts of cluster2 give numbers, texts and objects that stand for numbers; others may give anything.
function durationOf(transaction) {
  try {
    return Number(transaction.duration);
  } catch {
    return NaN;
  }
}
