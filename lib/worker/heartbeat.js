// The `heartbeat` event of a worker: what its row says, every `heartbeatInterval`, under the names of cluster2 0.4.
//
// lib/worker/worker.js starts it once the worker serves. It owns one timer, which `process.heartbeat` shows, as
// cluster2 did.
'use strict';

const { performance, setInterval } = require('../shared/timers');

/** Emits `heartbeat` every `interval` ms. */
function startHeartbeat(cluster, board, interval) {
  let last = counts(board);
  process.heartbeat = setInterval(() => {
    const now = counts(board);
    const facts = beat(board, now, last);
    last = now;
    cluster.emit('heartbeat', facts);
  }, interval).unref();
}

module.exports = { startHeartbeat };

// What restarts after each beat is a difference between two of these.
function counts(board) {
  return {
    time: performance.now(),
    transactions: board.get('transactions'),
    durations: board.get('transactionMs'),
    incremental: board.get('gcIncremental'),
    full: board.get('gcMajor'),
    pauseMS: board.get('gcPauseMs'),
    errors: board.get('errors'),
  };
}

function beat(board, now, last) {
  const { user, system } = process.cpuUsage();
  const uptime = process.uptime();
  return {
    pid: process.pid,
    uptime,
    cpu: (user + system) / 1e4 / uptime,
    memory: process.memoryUsage.rss(),
    aliveConnections: board.get('connectionsOpen'),
    totalConnections: board.get('connectionsTotal'),
    timedoutConnections: board.get('timedOutSockets'),
    transactions: now.transactions - last.transactions,
    durations: now.durations - last.durations,
    totalTransactions: now.transactions,
    totalDurations: now.durations,
    gc: {
      incremental: now.incremental - last.incremental,
      full: now.full - last.full,
      pauseMS: now.pauseMS - last.pauseMS,
    },
    error: { count: now.errors - last.errors },
    cycle: Math.round(now.time - last.time),
  };
}
