// A `Cluster` that a script makes in a worker which runs the script as it is: its apps are served in this worker.
//
// lib/cluster.js makes one in `listen`. The worker itself is the master's already (lib/worker/preload.js), so whatever
// listens is adopted, drained and counted as any other server of it.
'use strict';

const { callApplication } = require('../shared/application');
const { collectApps, toServer } = require('../shared/create-app');
const { portsOf } = require('../shared/ports');
const { listenOnAll } = require('./serving/listening');

class Guest {
  #cluster;
  #setup;

  constructor(cluster, setup) {
    this.#cluster = cluster;
    this.#setup = setup;
  }

  async run() {
    const { awaitsSocket, createApp, callback, monApp: usual, parsed } = this.#setup;
    const warn = (message) => callApplication(() => this.#cluster.emit('warning', { message }));
    const { apps, monApp } = await collectApps(createApp, { monApp: usual, isWaiting: awaitsSocket, warn });
    const { backlog, host } = parsed;
    for (const entry of apps) {
      const server = await toServer(entry.app);
      await listenOnAll(server, portsOf(entry, parsed), { host, backlog });
    }
    callApplication(() => callback?.(apps, monApp));
  }
}

module.exports = { Guest };
