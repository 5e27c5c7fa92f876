// Requests on the monitor's port that only JavaScript can answer: the application's own monitor app, and what its
// components say.
//
// Rust has the port. It hands over one end of a pair of sockets for each request (`take`), which is served here by
// an http.Server that listens nowhere. What is not answered, or not in time, the monitor answers by itself. Owns
// the sockets.
'use strict';

const net = require('node:net');

const { toServer } = require('../shared/create-app');
const { createError } = require('../shared/errors');

// Requests come with a head that Rust has taken already.
const MAX_HEADER_SIZE = 64 * 1024;

class MonitorRequests {
  #query;
  #warn;
  #app;
  #servers = new Map();

  /** `query(component, worker, params)` is componentStatus's answer; `warn(message)` is told what fails. */
  constructor(query, warn) {
    this.#query = query;
    this.#warn = warn;
  }

  /** Takes the application's monitor app, if it has one; rejects with ERR_CLUSTER2_INVALID_APP for one without HTTP. */
  async use(monApp) {
    if (!monApp) return;
    const server = await toServer(monApp);
    if (server.listenerCount('request') === 0) throw createError('ERR_CLUSTER2_INVALID_MON_APP', monApp);
    this.#app = server;
  }

  get hasApp() {
    return this.#app !== undefined;
  }

  /** A request has come: `to` says who is asked, `fd` is the socket it comes on. */
  take({ to, address, family, port }, fd) {
    let socket;
    try {
      socket = new net.Socket({ fd, readable: true, writable: true });
    } catch (error) {
      this.#warn(`a request on the monitor's port was lost: ${error.message}`);
      return;
    }
    // The app sees its client, not the pair.
    const client = { remoteAddress: address, remoteFamily: family, remotePort: port };
    for (const [name, value] of Object.entries(client)) Object.defineProperty(socket, name, { value });
    // A client that leaves is no error of anybody's.
    socket.on('error', () => {});
    this.#serverOf(to).emit('connection', socket);
  }

  #serverOf(to) {
    let server = this.#servers.get(to);
    if (!server) {
      const ask = (...given) => (to === 'app' ? this.#askApp(...given) : this.#askComponents(...given));
      server = require('node:http').createServer({ maxHeaderSize: MAX_HEADER_SIZE }, ask);
      this.#servers.set(to, server);
    }
    return server;
  }

  // Called by hand, not by `emit`: what fails there must not end the master.
  #askApp(request, response) {
    const failed = (error) => {
      this.#warn(`the monitor app failed at ${request.method} ${request.url}: ${error?.stack ?? error}`);
      // Without an answer the monitor gives its own.
      response.destroy();
    };
    for (const listener of this.#app.listeners('request')) {
      try {
        Promise.resolve(Reflect.apply(listener, this.#app, [request, response])).catch(failed);
      } catch (error) {
        failed(error);
        return;
      }
    }
  }

  async #askComponents(request, response) {
    const { searchParams } = new URL(request.url, 'http://monitor');
    const [component, worker, params] = ['component', 'worker', 'params'].map((name) => searchParams.get(name));
    const { status, value } = await this.#valueOf(component, worker, params);
    const body = JSON.stringify(value ?? null);
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.end(body);
  }

  async #valueOf(component, worker, params) {
    try {
      return { status: 200, value: await this.#query(component, worker ?? undefined, params ?? undefined) };
    } catch (error) {
      if (error?.code === 'ERR_CLUSTER2_UNKNOWN_COMPONENT') {
        return { status: 404, value: { error: 'no such component', code: error.code } };
      }
      this.#warn(`the component ${component} failed: ${error?.message ?? error}`);
      return { status: 500, value: { error: 'the component failed' } };
    }
  }
}

module.exports = { MonitorRequests };
