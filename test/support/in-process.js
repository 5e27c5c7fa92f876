'use strict';

// What the tests of servers and connections share: a certificate, servers on free ports, raw clients.
//
// Every server and socket made here is closed by `cleanUp`, which a test file calls after each test.

const assert = require('node:assert');
const { EventEmitter, once } = require('node:events');
const net = require('node:net');
const tls = require('node:tls');

const { load } = require('../../lib/shared/native');
const { Board } = require('../../lib/worker/counting/scoreboard');
const { Traffic } = require('../../lib/worker/counting/traffic');
const { Servers } = require('../../lib/worker/serving/servers');

const opened = new Set();
// There is one in a process.
let traffic;

// For "localhost", self-signed, valid until 2126; it protects nothing.
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgv+kKW7CV5qpgtL0w
vxxv4AFkeIf3pRorrgN8NYnGSKahRANCAATwlWtKBFfH+rwWAHzO0WHuU/EXQWDY
hhc+zzbhWWAR0spMTqdK86cZNJYnuqTMK2NRPbN+Jv15JY/0684Nq9k7
-----END PRIVATE KEY-----
`;
const cert = `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUAvIzw/faKRNda86IyrgkP2V6EsYwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzE5MDExN1oYDzIxMjYxMDMw
MTkwMTE3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATwlWtKBFfH+rwWAHzO0WHuU/EXQWDYhhc+zzbhWWAR0spMTqdK86cZ
NJYnuqTMK2NRPbN+Jv15JY/0684Nq9k7o28wbTAdBgNVHQ4EFgQUtVSZFldBqHI9
jB+LTIaBAQj4aJMwHwYDVR0jBBgwFoAUtVSZFldBqHI9jB+LTIaBAQj4aJMwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAPgPa+6qRjnofZu/eVlszxSI8xrCf5GPQuOEibxDQs4FAiEA
+rZFxhR1ucT5bAHE73ywvClqYUCYwjwjpe3T0R+vJec=
-----END CERTIFICATE-----
`;

/**
 * The `Servers` of a worker that has no master, with the options given. Its `listen(server)` resolves with the port;
 * what it emits comes from its `cluster`.
 */
function serversOf(options = {}) {
  traffic ??= new Traffic(new Board(load()));
  const servers = new Servers(traffic);
  servers.cluster = new EventEmitter();
  servers.use(servers.cluster, { host: '127.0.0.1', port: [0], timeout: 0, ...options });
  const { listen: listenAll } = servers;
  servers.listen = async (server) => {
    opened.add(server);
    servers.adopt(server);
    await listenAll.call(servers, [{ app: server, port: 0 }], () => {});
    return server.address().port;
  };
  return servers;
}

async function listen(server) {
  opened.add(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

/** A socket that keeps what it received as text, and can be waited on. */
async function connect(port, { secure = false } = {}) {
  const socket = secure
    ? tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    : net.connect(port, '127.0.0.1');
  opened.add(socket);
  socket.received = '';
  socket.setEncoding('latin1');
  socket.on('data', (text) => {
    socket.received += text;
    socket.emit('more');
  });
  socket.on('error', (error) => {
    socket.failure = error;
  });
  socket.whenClosed = new Promise((resolve) => {
    socket.once('close', resolve);
  });
  await once(socket, secure ? 'secureConnect' : 'connect');
  return socket;
}

/** Waits until `socket` received something that matches, and fails when it closes without. */
async function received(socket, pattern) {
  const isHere = () => pattern.test(socket.received);
  if (isHere()) return socket.received;
  await new Promise((resolve, reject) => {
    socket.on('more', () => isHere() && resolve());
    socket.whenClosed.then(() => reject(new Error(`closed after ${JSON.stringify(socket.received)}`)));
  });
  return socket.received;
}

/** Waits for the end of the connection; gives the milliseconds that it took. */
async function closed(socket) {
  const start = performance.now();
  await socket.whenClosed;
  return performance.now() - start;
}

async function refused(port) {
  const socket = net.connect(port, '127.0.0.1');
  const [error] = await once(socket, 'error');
  assert.strictEqual(error.code, 'ECONNREFUSED');
}

function cleanUp() {
  for (const each of opened) {
    if (each instanceof net.Server) net.Server.prototype.close.call(each);
    else each.destroy();
  }
  opened.clear();
}

module.exports = { cert, cleanUp, closed, connect, key, listen, opened, received, refused, serversOf };
