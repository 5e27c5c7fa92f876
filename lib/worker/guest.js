// A `Cluster` that a script makes in a worker which runs the script as it is: its apps are served in this worker.
//
// lib/cluster.js makes one in `listen`. The worker itself is the master's already (lib/worker/preload.js), so whatever
// listens is adopted, drained and counted as any other server of it, and the guest hears what happens to the worker.
// Owns nothing.
'use strict';

const { host } = require('../shared/whose-worker');

class Guest {
  #cluster;
  #setup;

  constructor(cluster, setup) {
    this.#cluster = cluster;
    this.#setup = setup;
  }

  run() {
    return host.worker.serveGuest(this.#cluster, this.#setup);
  }

  /** Takes the whole cluster out of rotation, or puts it back. */
  rotate(disabled, reason) {
    return host.worker.rotate(disabled, reason);
  }

  startComponents() {
    host.worker.startComponents();
  }
}

module.exports = { Guest };
