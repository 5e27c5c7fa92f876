'use strict';

// The idle timeout on every kind of server, against real clients: when it cuts, and what keeps a connection.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const tls = require('node:tls');
const { performance } = require('node:perf_hooks');
const { cert, cleanUp, closed, connect, key, opened, received, serversOf } = require('../support/in-process');

const TIMEOUT = 120;
// Timers and two processes' worth of other tests on the same machine may be late, never early.
const LATE = 1000;
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const answer = (request, response) => response.end('done');

// After how many seconds clients are told to give up, by each answer that tells it.
function adviceIn(text) {
  return Array.from(text.matchAll(/keep-alive: timeout=(\d+)/gi), ([, seconds]) => seconds);
}

describe('the idle timeout', () => {
  let cuts;

  beforeEach(() => {
    cuts = 0;
  });

  afterEach(cleanUp);

  function serve(server, timeout = TIMEOUT) {
    const servers = serversOf({ timeout });
    servers.cluster.on('warning', () => {
      cuts += 1;
    });
    return servers.listen(server);
  }

  async function assertCut(socket) {
    const took = await closed(socket);
    assert.ok(took > TIMEOUT - 30 && took < TIMEOUT + LATE, `cut after ${took} ms`);
    assert.strictEqual(cuts, 1);
  }

  const kinds = {
    net: [() => net.createServer(), false],
    tls: [() => tls.createServer({ key, cert }), true],
    http: [() => http.createServer(answer), false],
    https: [() => https.createServer({ key, cert }, answer), true],
    'http2 over TLS, before it chose a protocol': [() => http2.createSecureServer({ key, cert }), false],
    'http2 in plain': [() => http2.createServer(), false],
  };
  for (const [name, [make, secure]] of Object.entries(kinds)) {
    it(`cuts a connection that sends nothing: ${name}`, async () => {
      await assertCut(await connect(await serve(make()), { secure }));
    });
  }

  it('cuts a connection to a TLS server that never shakes hands', async () => {
    await assertCut(await connect(await serve(https.createServer({ key, cert }, answer))));
  });

  for (const secure of [false, true]) {
    it(`cuts an idle keep-alive connection after each request${secure ? ', over TLS' : ''}`, async () => {
      const server = secure ? https.createServer({ key, cert }, answer) : http.createServer(answer);
      const port = await serve(server);
      const socket = await connect(port, { secure });
      for (const count of [1, 2, 3]) {
        socket.write(GET);
        await received(socket, new RegExp(`(done[^]*){${count}}`));
      }
      await assertCut(socket);
    });
  }

  it('cuts a request that is answered too late, first or later', async () => {
    const handled = [];
    const server = http.createServer((request, response) => {
      handled.push(request.url);
      if (request.url === '/') response.end('done');
    });
    const socket = await connect(await serve(server));
    socket.write(GET);
    await received(socket, /done/);
    socket.write(GET.replace('/', '/slow'));
    await assertCut(socket);
    assert.deepStrictEqual(handled, ['/', '/slow']);
  });

  it('leaves a connection on which bytes move either way', async () => {
    const server = http.createServer((request, response) => {
      request.resume();
      const timer = setInterval(() => response.write('x'), TIMEOUT / 4);
      setTimeout(() => {
        clearInterval(timer);
        request.on('end', () => response.end('end'));
      }, TIMEOUT * 2);
    });
    const socket = await connect(await serve(server));
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n');
    await received(socket, /x(\r\n1\r\nx)*/);
    for (const byte of 'abcd') {
      await new Promise((resolve) => {
        setTimeout(resolve, TIMEOUT * 0.7);
      });
      socket.write(byte);
    }
    await received(socket, /end/);
    assert.strictEqual(cuts, 0);
    await assertCut(socket);
  });

  for (const [what, timeout, advised] of [['advises clients to give up earlier', 30000, ['29']],
    ['advises nothing where there is no time to', 1999, []]]) {
    it(what, async () => {
      const socket = await connect(await serve(http.createServer(answer), timeout));
      let asked = 0;
      for (const expected of [advised, [...advised, ...advised]]) {
        socket.write(GET);
        assert.deepStrictEqual(adviceIn(await received(socket, new RegExp(`(done[^]*){${(asked += 1)}}`))), expected);
      }
    });
  }

  it('advises clients that speak HTTP/1 to a server of HTTP/2, and cuts them', async () => {
    const server = http2.createSecureServer({ key, cert, allowHTTP1: true }, answer);
    const socket = await connect(await serve(server, 30000), { secure: true });
    socket.write(GET);
    assert.deepStrictEqual(adviceIn(await received(socket, /done/)), ['29']);
    const other = http2.createSecureServer({ key, cert, allowHTTP1: true }, answer);
    const idle = await connect(await serve(other), { secure: true });
    idle.write(GET);
    await received(idle, /done/);
    await assertCut(idle);
  });

  it('leaves the advice to an application that has chosen a timeout since, and to other servers', async () => {
    const server = http.createServer(answer);
    const socket = await connect(await serve(server, 30000));
    server.keepAliveTimeout = 7000;
    socket.write(GET);
    assert.deepStrictEqual(adviceIn(await received(socket, /done/)), ['7']);
    const other = http.createServer({ keepAliveTimeout: 0 }, answer);
    const stranger = await connect(await serve(other, 0));
    stranger.write(GET);
    assert.deepStrictEqual(adviceIn(await received(stranger, /done/)), []);
  });

  it('lets the application choose another timeout for one of its sockets', async () => {
    const server = net.createServer((socket) => socket.setTimeout(0));
    const socket = await connect(await serve(server));
    const other = await connect(await serve(net.createServer()));
    await assertCut(other);
    assert.strictEqual(socket.destroyed, false);
  });

  for (const secure of [false, true]) {
    it(`leaves a connection that left HTTP without a timeout${secure ? ', over TLS' : ''}`, async () => {
      const server = secure ? https.createServer({ key, cert }) : http.createServer();
      const upgraded = once(server, 'upgrade');
      server.on('upgrade', (request, socket) => {
        socket.resume();
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      });
      const port = await serve(server);
      const socket = await connect(port, { secure });
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      await received(socket, /101/);
      const [, other] = await upgraded;
      assert.strictEqual(other.timeout, 0);
      await assertCut(await connect(port, { secure }));
      assert.strictEqual(socket.destroyed, false);
    });
  }

  it('is no listener that the application could see', async () => {
    const events = ['connection', 'request', 'timeout', 'upgrade', 'connect', 'session', 'stream', 'secureConnection'];
    const makers = [http.createServer, net.createServer, http2.createServer, https.createServer];
    for (const make of makers) {
      const counts = (server) => events.map((event) => server.listenerCount(event));
      const server = make(answer);
      const before = counts(server);
      await serve(server);
      assert.deepStrictEqual(counts(server), before);
    }
  });

  it('leaves upgrade requests to the request handler where no other listener is', async () => {
    const socket = await connect(await serve(http.createServer(answer)));
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await received(socket, /200 OK[^]*done/);
  });

  for (const secure of [false, true]) {
    it(`cuts an idle HTTP/2 session, and one with a slow stream${secure ? ', over TLS' : ''}`, async () => {
      const handler = (request, response) => request.url === '/' && response.end('done');
      const server = secure ? http2.createSecureServer({ key, cert }, handler) : http2.createServer(handler);
      const port = await serve(server);
      for (const path of ['/', '/slow']) {
        cuts = 0;
        const session = http2.connect(`${secure ? 'https' : 'http'}://localhost:${port}`, {
          rejectUnauthorized: false,
          createConnection: secure ? undefined : () => net.connect(port, '127.0.0.1'),
        });
        opened.add(session);
        session.on('error', () => {});
        await once(session, 'connect');
        const start = performance.now();
        const stream = session.request({ ':path': path });
        stream.on('error', () => {});
        stream.resume();
        await once(session, 'close');
        const took = performance.now() - start;
        assert.ok(took > TIMEOUT - 30 && took < TIMEOUT + LATE + 20, `cut after ${took} ms`);
        assert.strictEqual(cuts, 1);
      }
    });
  }

  it('does nothing where the timeout is 0', async () => {
    const server = http.createServer();
    await serve(server, 0);
    assert.deepStrictEqual([server.timeout, server.keepAliveTimeout], [0, 5000]);
  });
});
