// Node's `cluster` API on the Rust master, for programs that fork themselves.
'use strict';

require('./lib/shared/check-node');

const api = require('./lib/node-cluster').clusterApi();

const {
  SCHED_NONE, SCHED_RR, Worker, disconnect, fork, isMaster, isPrimary, isWorker, schedulingPolicy, settings,
  setupMaster, setupPrimary, worker, workers,
} = api;
// Node reads in this text what ES modules may import by name; the line below is what they get.
module.exports = {
  SCHED_NONE, SCHED_RR, Worker, disconnect, fork, isMaster, isPrimary, isWorker, schedulingPolicy, settings,
  setupMaster, setupPrimary, worker, workers,
};
module.exports = api;
