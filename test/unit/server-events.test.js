'use strict';

// What an application sees of its servers' events while this package sees them too.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');

const { cleanUp, connect, received, refused, serversOf } = require('../support/in-process');

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const NAMES = [
  'request', 'checkContinue', 'checkExpectation', 'connection', 'connect', 'upgrade', 'timeout', 'session', 'stream',
  'secureConnection', 'close',
];
// What a library may give with an event of its own: a protocol that is no HTTP, a connection that is no stream.
const GIVEN = [[], ['call', { id: 1 }, () => 'reply', 4], [{ id: 1 }, 2, 3]];

describe("a server's events", () => {
  let servers;

  afterEach(async () => {
    servers.endNow();
    await servers.drain();
    cleanUp();
  });

  function serve(server) {
    servers = serversOf({ keepAliveGrace: 50, timeout: 5000 });
    return servers.listen(server);
  }

  for (const [kind, { createServer }] of Object.entries({ net, http, http2 })) {
    it(`may be the application's own, with all their arguments: ${kind}`, async () => {
      const server = createServer();
      await serve(server);
      for (const isDraining of [false, true]) {
        if (isDraining) servers.drain();
        for (const name of NAMES) {
          server.removeAllListeners(name);
          for (const given of GIVEN) {
            let got;
            server.once(name, (...args) => { got = args; });
            server.emit(name, ...given);
            assert.deepEqual(got, given, `${name} ${isDraining}`);
          }
        }
      }
    });
  }

  it('leave a server adopted that says close while it listens', async () => {
    const server = http.createServer((request, response) => response.end('done'));
    const port = await serve(server);
    server.emit('close');
    await servers.drain();
    await refused(port);
  });

  it('are seen by who wraps the class of the server after it listens', async () => {
    const server = http.createServer((request, response) => response.end('done'));
    const port = await serve(server);
    const seen = [];
    const { emit } = http.Server.prototype;
    http.Server.prototype.emit = function emitAndTell(event, ...args) {
      seen.push(event);
      return Reflect.apply(emit, this, [event, ...args]);
    };
    try {
      const socket = await connect(port);
      socket.write(GET);
      await received(socket, /done/);
    } finally {
      delete http.Server.prototype.emit;
    }
    assert.deepEqual(seen, ['connection', 'request']);
  });

  it('go through the emit that a server got for itself', async () => {
    const server = http.createServer((request, response) => response.end('done'));
    const seen = [];
    server.emit = function emitAndTell(event, ...args) {
      seen.push(event);
      return Reflect.apply(http.Server.prototype.emit, this, [event, ...args]);
    };
    const port = await serve(server);
    const socket = await connect(port);
    socket.write(GET);
    await once(server, 'request');
    assert.deepEqual(seen, ['listening', 'connection', 'request']);
  });
});
