// Clients for tests: one HTTP request, a raw connection, a free port.
//
// Each connection is closed by whoever opened it, or by the other side's end.
'use strict';

const http = require('node:http');
const net = require('node:net');

const { eventually, inTime, PATIENCE_MS } = require('./wait');

const HOST = '127.0.0.1';
// Below the ports that the kernel hands out by itself, so that no client of another test takes it meanwhile.
const [LOWEST, HIGHEST] = [20000, 30000];

/** One request on a connection of its own; `{status, headers, body}`. `port` may be a unix path. */
function request(port, { path = '/', within = PATIENCE_MS, body, ...options } = {}) {
  const where = typeof port === 'string' ? { socketPath: port } : { host: HOST, port };
  const answer = new Promise((resolve, reject) => {
    const sent = http.request({ ...where, path, agent: false, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { text += part; });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
  return inTime(answer, `answer to ${path} on ${port}`, within);
}

/** A raw connection, open when the promise resolves: `send`, `until`, `ended`, `close`. */
async function connect(port, options = {}) {
  const socket = typeof port === 'string' ? net.connect(port) : net.connect({ port, host: HOST, ...options });
  const connection = new Connection(socket);
  await inTime(new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject)), 'connection');
  return connection;
}

class Connection {
  received = '';
  error = undefined;
  isEnded = false;
  #socket;
  #waiting = new Set();

  constructor(socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text) => { this.received += text; this.#look(); });
    socket.on('error', (error) => { this.error = error; });
    for (const event of ['end', 'close']) socket.on(event, () => { this.isEnded = true; this.#look(); });
  }

  /** The client's own port. */
  get localPort() {
    return this.#socket.localPort;
  }

  send(text) {
    this.#socket.write(text);
    return this;
  }

  /** Sends a GET that asks for the connection to stay open. */
  get(path = '/') {
    return this.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  }

  /** Resolves with the match once all that was received so far matches. */
  until(pattern, { within = PATIENCE_MS } = {}) {
    const what = () => `${pattern} in ${JSON.stringify(this.received)}`;
    return this.#wait(() => pattern.exec(this.received), what, within);
  }

  /** Resolves when the other side has ended the connection. */
  ended({ within = PATIENCE_MS } = {}) {
    return this.#wait(() => this.isEnded, () => 'end of the connection', within);
  }

  close() {
    this.#socket.destroy();
  }

  #wait(condition, what, within) {
    let look;
    const met = new Promise((resolve) => {
      look = () => {
        const result = condition();
        if (result) resolve(result);
      };
    });
    this.#waiting.add(look);
    look();
    return inTime(met, what, within).finally(() => this.#waiting.delete(look));
  }

  #look() {
    for (const look of this.#waiting) look();
  }
}

/** A port that nobody listens on at this moment. */
async function freePort() {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    const server = net.createServer();
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ port, host: '0.0.0.0', exclusive: true }, () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** Whether a new connection to the port is refused. */
function isRefused(port) {
  return connect(port).then((connection) => { connection.close(); return false; }, (error) => {
    if (['ECONNREFUSED', 'ENOENT'].includes(error.code)) return true;
    throw error;
  });
}

/**
 * Resolves once a new connection to the port is refused. An attempt that falls into the moment of closing is answered
 * only after the kernel's repetition a second later, so others are made meanwhile.
 */
async function refused(port) {
  let isSeen = false;
  await eventually(() => {
    isRefused(port).then((is) => { isSeen ||= is; }, () => {});
    return isSeen;
  }, { what: `refusal of connections to ${port}` });
}

module.exports = { request, connect, freePort, isRefused, refused };
