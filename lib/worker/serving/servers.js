// The servers of one process, from listening to the last connection: what lib/worker/worker.js and lib/single.js have
// in common.
'use strict';

const { subscribe } = require('node:diagnostics_channel');

const { toServer } = require('../../shared/create-app');
const { Drain } = require('../drain/drain');
const { extraServer } = require('./extra-ports');
const { applyIdleTimeout } = require('./idle-timeout');
const { listening } = require('./listening');
const { portsOf } = require('../../shared/ports');

class Service {
  #cluster;
  #options;
  #traffic;
  #ecv;
  #balance;
  #drain;
  #drained;
  #requests = 0;
  #listeners = 0;

  /**
   * `traffic` counts, where somebody does; `ecv` answers balancers, where that is not off; `balance` gives
   * connections back that are too many, where there are other workers.
   */
  constructor(cluster, options, traffic, { ecv, balance } = {}) {
    this.#cluster = cluster;
    this.#options = options;
    this.#traffic = traffic;
    this.#ecv = ecv;
    this.#balance = balance;
  }

  /** Connections accepted since the start, over all servers of the process; counted where there is a `traffic`. */
  get connections() {
    return this.#traffic?.connections ?? 0;
  }

  /** Sockets that are open now: connections and servers. */
  get sockets() {
    return this.#listeners + (this.#drain?.open ?? 0);
  }

  /** HTTP requests received since the start, over all servers; counted where `requestThreshold` asks for it. */
  get requests() {
    return this.#requests;
  }

  /**
   * Listens for each app on each of its ports; calls `onListening(ports)` per app, once all of its ports are open.
   * Rejects with the error of the first server that can't listen.
   */
  async listen(apps, onListening) {
    const { host, backlog } = this.#options;
    const served = [];
    for (const { app, port } of apps) {
      const ports = portsOf({ port }, this.#options);
      const server = await toServer(app);
      served.push({ server, ports });
    }
    if (this.#options.requestThreshold) this.#countRequests(served.map(({ server }) => server));
    this.#drain = new Drain(served.map(({ server }) => server), this.#options);
    for (const { server, ports } of served) {
      this.#watch(server);
      for (const [at, port] of ports.entries()) {
        const listener = at === 0 ? server : extraServer(server);
        await listening(listener, port, { host, backlog });
        this.#balance?.watch(listener);
        this.#listeners += 1;
      }
      onListening(ports);
    }
  }

  /** Lets nothing new in and resolves when the last connection is gone. Asked again, it is the same drain. */
  drain() {
    this.#balance?.end();
    this.#drained ??= this.#drain ? this.#drain.begin() : Promise.resolve();
    return this.#drained;
  }

  /** The deadline has come: ends what is left and says in a sentence what that was, or nothing. */
  endNow() {
    const counts = this.#drain ? this.#drain.endNow() : {};
    const held = Object.entries(counts).filter(([, count]) => count > 0).map(([kind, count]) => `${count} ${kind}`);
    return held.length > 0 ? `still open at the deadline: ${held.join(', ')}` : undefined;
  }

  #watch(server) {
    this.#traffic?.addServer(server);
    this.#ecv?.guard(server);
    applyIdleTimeout(server, this.#options.timeout, () => {
      this.#traffic?.timedOut();
      this.#cluster.emit('warning', { message: 'Client socket timed out' });
    });
  }

  // HTTP/1 says it on a channel, before anybody answers; an HTTP/2 session gives one stream for each request.
  #countRequests(servers) {
    const count = () => { this.#requests += 1; };
    subscribe('http.server.request.start', ({ server }) => {
      if (servers.includes(server)) count();
    });
    for (const server of servers) server.on('session', (session) => session.on('stream', count));
  }
}

module.exports = { Service };
