// Finds out whose worker this process is; in one of ours, takes over what the master gave it, and adopts every server
// from now on.
//
// index.js loads it in every process, lib/worker/preload.js in workers that run a script as it is. It takes what the
// master says by the environment out of it, as Node does with its own variables, so that programs started by a worker
// don't take themselves for one. Owns the worker's row of the scoreboard and the one list of its servers.
//
// A worker may load this package again: another copy of it, or the same one after its module cache was emptied. The
// first copy stays the one that speaks with the master, and a later one of the same version is only a way to it.
'use strict';

const path = require('node:path');

const { load, useTarget } = require('./native');

// Where a later copy finds what the first one exports. Every version keeps `folder` and `version` there.
const FIRST_COPY = Symbol.for('cluster2-rs.worker');

const { CLUSTER2_EXEC: exec, CLUSTER2_MASTER: master, CLUSTER2_ROW: row, CLUSTER2_TARGET: target } = process.env;
for (const name of ['CLUSTER2_EXEC', 'CLUSTER2_MASTER', 'CLUSTER2_ROW', 'CLUSTER2_TARGET']) delete process.env[name];

// Whoever can't speak to a parent is no worker, and need not load `node:cluster` to know it.
const isOfCluster = process.send !== undefined && require('node:cluster').isWorker;
// Tells our workers from those of somebody else's cluster (PM2's cluster mode runs a script as one).
const isOurs = isOfCluster && master !== undefined;
/** A worker whose script makes a `Cluster`, or may do so. */
const isWorker = isOurs && exec === undefined;
/** A worker of another cluster. */
const isForeign = isOfCluster && !isOurs;

// How this worker ends at once; until something serves, nobody has anything to do at its end.
let endWorker = () => process.exit(0);
let board;
let servers;
let awaitsSocket;
let loaded;
if (isOurs) {
  useTarget(target);
  // The script may fail before it comes to `listen`.
  require('../worker/exceptions').reportExceptions();
  // Before the application runs, so that a worker whose loop never turns ends with its master, and so that the error of
  // one that fails to load is left behind.
  const addon = load();
  addon.endWithMaster();
  const place = row === undefined ? undefined : { fd: addon.inheritedScoreboard(), row: Number(row) };
  board = new (require('../worker/counting/scoreboard').Board)(addon, place);
  // Before the application runs too: whatever it has listen is looked after, and waited for.
  servers = require('../worker/adopt-servers').adoptServers(board);
  awaitsSocket = require('./node-internals').watchLoans(leaveUnlessServing);
}
// What the master has to know to tell when this worker is ready: the script may hand servers over, or not.
if (isWorker) require('../worker/send-to-master').tell({ act: 'loaded' });

/**
 * In a worker that runs a script as it is: its options (`raw` and `parsed`), its `Worker`, which lib/worker/preload.js
 * makes, and what is to be cleaned up at its end. A `Cluster` that the script makes is a guest of that worker.
 */
const host = isOurs && !isWorker ? { ...JSON.parse(exec), cleanups: [], worker: undefined } : undefined;

const copy = {
  awaitsSocket,
  board,
  classes,
  endsBy,
  folder: path.join(__dirname, '../..'),
  host,
  isForeign,
  isWorker,
  servers,
  /** A copy of another version that was here before, and is the one that speaks with the master. */
  otherCopy: process[FIRST_COPY],
  get version() {
    return require('../../package.json').version;
  },
};
const { otherCopy } = copy;
if (isOurs) Object.defineProperty(process, FIRST_COPY, { value: copy });

module.exports = otherCopy && otherCopy.version === copy.version ? otherCopy : copy;

/** The public classes. */
function classes() {
  loaded ??= { Cluster: require('../cluster'), Cluster2Error: require('./errors').Cluster2Error };
  return loaded;
}

/** From now on `end()` is what ends this worker at once. */
function endsBy(end) {
  endWorker = end;
}

// The cluster ends and gives no socket to this worker. One that serves is ordered to go; one that was still starting
// may have been told before it could hear it.
function leaveUnlessServing() {
  if (servers.sockets === 0) endWorker();
}
