// Requests on the monitor's port that only JavaScript can answer: the application's own monitor app, and what its
// components say.
//
// Rust has the port. It hands over one end of a pair of sockets for each request (`take`), which is served here by
// an http.Server that listens nowhere. What is not answered, or not in time, the monitor answers by itself. Owns
// the sockets.
'use strict';

const net = require('node:net');

const { textOfThrown, traceOfThrown } = require('../shared/call-application');
const { toServer } = require('../shared/create-app');
const { Cluster2Error, createError } = require('../shared/errors');

// Requests come with a head that Rust has taken already.
const MAX_HEADER_SIZE = 64 * 1024;

class MonitorRequests {
  #query;
  #warn;
  #onSocket;
  #app;
  #servers = new Map();

  /**
   * `query(component, worker, params)` is componentStatus's answer; `warn(message)` is told what fails;
   * `onSocket(socket)` is called before a request is read from its socket.
   */
  constructor(query, warn, onSocket = () => {}) {
    this.#query = query;
    this.#warn = warn;
    this.#onSocket = onSocket;
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
    this.#onSocket(socket);
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
      this.#warn(`the monitor app failed at ${request.method} ${request.url}: ${traceOfThrown(error)}`);
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
    const query = new URLSearchParams(request.url.split('?')[1]);
    const [component, worker, params] = ['component', 'worker', 'params'].map((name) => query.get(name) ?? undefined);
    const { status, body } = await this.#answerOf(component, worker, params);
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.end(body);
  }

  // A reducer of the application may throw, and may give what can't be written.
  async #answerOf(component, worker, params) {
    try {
      const value = await this.#query(component, worker, params);
      return { status: 200, body: JSON.stringify(value ?? null) };
    } catch (error) {
      if (error instanceof Cluster2Error) {
        return { status: 404, body: JSON.stringify({ error: 'no such component', code: error.code }) };
      }
      this.#warn(`the component ${component} failed: ${textOfThrown(error)}`);
      return { status: 500, body: JSON.stringify({ error: 'the component failed' }) };
    }
  }
}

module.exports = { MonitorRequests };
