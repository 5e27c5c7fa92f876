// For the node-*.js programs: forks workers that know nothing of this package, and runs `worker` in each.
//
// CLUSTER2_TEST_MASTER says who forks them: `raw` (this package; the worker never loads it), `agent` (this package;
// the worker calls its `listen` as well) or `node` (Node's own cluster, with which the others are compared).
// `master` runs once in the master before anything is forked, and gets the Cluster, or nothing with `node`; it may
// be async.
'use strict';

const cluster = require('node:cluster');

const kind = process.env.CLUSTER2_TEST_MASTER ?? 'raw';

async function run({ worker, master = () => {} }) {
  if (cluster.isWorker) {
    if (kind === 'agent') makeCluster().listen((cb) => cb([]));
    worker();
  } else if (kind === 'node') {
    await master();
    const { noWorkers } = require('../support/options');
    for (let i = 0; i < noWorkers; i += 1) cluster.fork();
  } else {
    const c = makeCluster();
    await master(c);
    c.listen((cb) => cb([]));
  }
}

// Loaded here, so that a raw worker has nothing of it.
function makeCluster() {
  const Cluster = require('../support/cluster');
  return new Cluster(require('../support/options'));
}

module.exports = { run };
