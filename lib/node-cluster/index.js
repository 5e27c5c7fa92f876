// `require('cluster2-rs/cluster')`: Node's `cluster` API, whose primary is this package's.
//
// A process is one or the other. In a primary the API is ours. In a worker it is Node's own, which speaks with our
// primary as with Node's; beside it runs agent.js, if the primary is ours. Owns the one API of the process.
'use strict';

const nodeCluster = require('node:cluster');
const { EventEmitter } = require('node:events');

// Taken out of the environment, as Node does with its own variables: programs that a worker starts are no workers.
const { CLUSTER2_BOARD: place, CLUSTER2_PRIMARY: primary } = process.env;
delete process.env.CLUSTER2_BOARD;
delete process.env.CLUSTER2_PRIMARY;
// A program below a worker that has left them there may have workers of its own.
if (nodeCluster.isWorker && Number(primary) === process.ppid) require('./agent').startAgent(place);

let api;

/** The API; the first call in a primary puts it upon `emitter`. */
function clusterApi(emitter) {
  api ??= nodeCluster.isWorker ? nodeCluster : primaryUpon(emitter ?? new EventEmitter());
  return api;
}

function primaryUpon(emitter) {
  const { Primary } = require('./primary');
  return new Primary(emitter).cluster;
}

module.exports = { clusterApi };
