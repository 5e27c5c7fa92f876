'use strict';

// How a drain takes leave of each kind of client, with real sockets: nothing that was asked stays without its
// answer.

const assert = require('node:assert');
const { subscribe, unsubscribe } = require('node:diagnostics_channel');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const { performance } = require('node:perf_hooks');
const tls = require('node:tls');
const { WebSocket, WebSocketServer } = require('ws');
const { extraServer } = require('../../lib/worker/serving/extra-ports');
const {
  cert, cleanUp, closed, connect, key, listen, opened, received, refused, serversOf,
} = require('../support/in-process');

const GRACE = 250;
// On a busy machine.
const LATE = 1000;
const NOTHING = { http: 0, http2: 0, websocket: 0, tcp: 0, requests: 0 };
const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
const pause = (ms) => new Promise((resolve) => {
  setTimeout(resolve, ms);
});

describe('Drain', () => {
  let drain;
  let port;
  let held;

  // A path says how it is answered: at once, when `release` is called, or as the body asks for.
  function handle(request, response) {
    if (request.url.startsWith('/now')) response.end(request.url);
    else if (request.url === '/soon') setTimeout(() => response.end(request.url), 5 * Math.random());
    else if (request.url === '/echo') request.pipe(response);
    else if (request.url === '/early') {
      response.write('begin ');
      held.push(() => response.end('end'));
    } else held.push(() => response.end(request.url));
  }

  function release() {
    for (const answer of held.splice(0)) answer();
  }

  async function serve(server) {
    const servers = serversOf({ keepAliveGrace: GRACE });
    port = await servers.listen(server);
    drain = {
      begin: () => servers.drain(),
      endNow: () => reportIn(servers.endNow()),
      get open() { return servers.traffic.open.size; },
    };
    return server;
  }

  function reportIn(text = '') {
    const counts = Array.from(text.matchAll(/(\d+) (\w+)/g), ([, count, kind]) => [kind, Number(count)]);
    return { ...NOTHING, ...Object.fromEntries(counts) };
  }

  // Until the server has the request: what is sent is not yet received.
  async function ask(socket, text, count = 1) {
    socket.write(text);
    while (held.length < count) await new Promise(setImmediate);
  }

  // What the kernel has accepted and the server has not is the business of whoever holds the listening
  // socket.
  async function accepted(count) {
    while (drain.open < count) await new Promise(setImmediate);
  }

  beforeEach(() => {
    held = [];
  });

  afterEach(async () => {
    drain?.endNow();
    await drain?.begin();
    cleanUp();
  });

  it('ends at once where no connection is open, and emits close', async () => {
    const server = await serve(http.createServer(handle));
    let isClosed = false;
    server.on('close', () => {
      isClosed = true;
    });
    await drain.begin();
    assert.strictEqual(isClosed, true);
    assert.strictEqual(drain.open, 0);
    assert.deepStrictEqual(drain.endNow(), NOTHING);
    await refused(port);
  });

  it('gives the same promise the second time', async () => {
    await serve(http.createServer(handle));
    assert.strictEqual(drain.begin(), drain.begin());
  });

  it('refuses new connections at once, on extra ports too, and emits close after the last', async () => {
    const server = await serve(http.createServer(handle));
    const second = await listen(extraServer(server));
    const socket = await connect(second);
    await ask(socket, get('/held'));
    let isClosed = false;
    server.on('close', () => {
      isClosed = true;
    });
    const drained = drain.begin();
    await refused(port);
    await refused(second);
    assert.strictEqual(isClosed, false);
    release();
    await received(socket, /connection: close[^]*\/held/i);
    await drained;
    assert.strictEqual(isClosed, true);
  });

  for (const secure of [false, true]) {
    const make = () => (secure ? https.createServer({ key, cert }, handle) : http.createServer(handle));

    describe(secure ? 'https' : 'http', () => {
      it('answers a request under way with a close', async () => {
        await serve(make());
        const socket = await connect(port, { secure });
        await ask(socket, get('/held'));
        const drained = drain.begin();
        await pause(GRACE * 1.5);
        release();
        await received(socket, /connection: close[^]*\/held/i);
        await drained;
      });

      it('leaves idle and fresh connections for the grace, and answers what comes in it', async () => {
        await serve(make());
        const sockets = [];
        for (const used of [true, true, false, false]) {
          const socket = await connect(port, { secure });
          sockets.push(socket);
          if (!used) continue;
          socket.write(get('/now'));
          await received(socket, /keep-alive[^]*\/now/i);
        }
        await accepted(4);
        const start = performance.now();
        const drained = drain.begin();
        await pause(GRACE / 2);
        for (const socket of [sockets[0], sockets[2]]) {
          socket.write(get('/now/late'));
          await received(socket, /connection: close[^]*\/now\/late/i);
          await closed(socket);
        }
        while (drain.open > 2) await new Promise(setImmediate);
        await drained;
        const took = performance.now() - start;
        assert.ok(took > GRACE - 10 && took < GRACE + LATE, `took ${took} ms`);
      });

      it('closes a pipeline with its last answer, whatever the order of the handlers', async () => {
        await serve(make());
        const paths = ['/now/1', '/soon', '/now/2', '/soon', '/now/3', '/soon', '/now/4', '/now/5'];
        const before = await connect(port, { secure });
        await ask(before, ['/held', ...paths, '/held'].map((path) => get(path)).join(''), 2);
        const after = await connect(port, { secure });
        await accepted(2);
        const drained = drain.begin();
        after.write([...paths, '/soon'].map((path) => get(path)).join(''));
        release();
        await drained;
        for (const [socket, count] of [[before, 10], [after, 9]]) {
          const answers = socket.received.split('HTTP/1.1 200 OK').slice(1);
          assert.strictEqual(answers.length, count);
          const closing = answers.map((text) => /connection: close/i.test(text));
          assert.strictEqual(closing.indexOf(true), count - 1);
        }
      });

      it('keeps a connection whose next request is partly here, and closes with its answer', async () => {
        await serve(make());
        const socket = await connect(port, { secure });
        const [first, rest] = [get('/held').slice(0, 9), get('/held').slice(9)];
        await ask(socket, get('/held') + first);
        const drained = drain.begin();
        release();
        await received(socket, /keep-alive[^]*\/held/i);
        await pause(GRACE * 1.5);
        socket.received = '';
        await ask(socket, rest);
        release();
        await received(socket, /connection: close[^]*\/held/i);
        await drained;
      });

      it('waits for an upload under way, also where the answer is out before', async () => {
        await serve(make());
        const post = (path) => get(path, 'Transfer-Encoding: chunked\r\n').replace('GET', 'POST');
        const echo = await connect(port, { secure });
        const early = await connect(port, { secure });
        echo.write(`${post('/echo')}2\r\nab\r\n`);
        early.write(`${post('/held')}2\r\nab\r\n`);
        await received(echo, /ab/);
        while (!held.length) await new Promise(setImmediate);
        const drained = drain.begin();
        release();
        await received(early, /connection: close[^]*\/held/i);
        await pause(GRACE * 1.5);
        assert.strictEqual(drain.open, 2);
        for (const socket of [echo, early]) socket.write('2\r\ncd\r\n0\r\n\r\n');
        await received(echo, /cd\r\n0\r\n/);
        await drained;
        assert.strictEqual(early.failure, undefined);
      });

      it('gives an answer that began before as keep-alive its own grace', async () => {
        await serve(make());
        const socket = await connect(port, { secure });
        await ask(socket, get('/early'));
        await received(socket, /begin/);
        const drained = drain.begin();
        await pause(GRACE * 1.5);
        release();
        await received(socket, /end/);
        socket.write(get('/now/next'));
        await received(socket, /connection: close[^]*\/now\/next/i);
        await drained;
      });

      it('gives it its grace also where the loop stood still until its end', async () => {
        await serve(make());
        const socket = await connect(port, { secure });
        await ask(socket, get('/early'));
        await received(socket, /begin/);
        const drained = drain.begin();
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, GRACE * 2);
        release();
        await received(socket, /end/);
        await pause(GRACE / 5);
        socket.write(get('/now/next'));
        await received(socket, /connection: close[^]*\/now\/next/i);
        await drained;
      });

      it('loses nothing of clients that ask without pause', async () => {
        await serve(make());
        const agent = new (secure ? https : http).Agent({ keepAlive: true });
        const outcomes = await Promise.all([0, 0, 0, 0, 20, 20].map(async (think, index) => {
          for (let count = 0; ; count += 1) {
            if (index === 0 && count === 5) drain.begin();
            const request = (secure ? https : http).get({
              agent, port, host: '127.0.0.1', path: count % 2 ? '/now' : '/soon', rejectUnauthorized: false,
            });
            const [response] = await once(request, 'response').catch((error) => [error]);
            if (response instanceof Error) return request.reusedSocket ? response.code : 'refused';
            await response.toArray();
            if (response.headers.connection === 'close') return 'told';
            await pause(think);
          }
        }));
        agent.destroy();
        assert.deepStrictEqual(outcomes.filter((outcome) => outcome !== 'told' && outcome !== 'refused'), []);
        assert.ok(outcomes.includes('told'));
        await drain.begin();
      });
    });
  }

  for (const secure of [false, true]) {
    it(`answers a client that ends its side with its request${secure ? ', over TLS' : ''}`, async () => {
      const server = secure ? https.createServer({ key, cert }, handle) : http.createServer(handle);
      await serve(server);
      const accepting = once(server, secure ? 'secureConnection' : 'connection');
      const socket = await connect(port, { secure });
      const [other] = await accepting;
      const drained = drain.begin();
      // Both must be here before the server reads, so that it sees the end while the request still waits.
      other.pause();
      socket.end(get('/now'));
      await once(socket, 'finish');
      await pause(GRACE / 4);
      other.resume();
      await received(socket, /\/now/);
      await drained;
    });
  }

  it('keeps from the application a request whose client has gone before the application got it', async () => {
    await serve(http.createServer(handle));
    const socket = await connect(port);
    await accepted(1);
    const drained = drain.begin();
    const goes = ({ socket: other }) => other.destroy();
    subscribe('http.server.request.start', goes);
    try {
      socket.write(get('/held'));
      await closed(socket);
      await drained;
    } finally {
      unsubscribe('http.server.request.start', goes);
    }
    assert.strictEqual(held.length, 0);
  });

  it('looks through all connections once for all answers that are given at once', async () => {
    const server = await serve(http.createServer(handle));
    const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(port)));
    for (const socket of sockets) socket.write(get('/held'));
    while (held.length < sockets.length) await new Promise(setImmediate);
    const drained = drain.begin();
    const symbols = Object.getOwnPropertySymbols(server);
    const list = server[symbols.find(({ description }) => description === 'http.server.connections')];
    const { active } = list;
    let looks = 0;
    list.active = () => {
      looks += 1;
      return active.call(list);
    };
    release();
    assert.strictEqual(looks, 1);
    for (const socket of sockets) await received(socket, /connection: close/i);
    await drained;
  });

  it('overrides a keep-alive that the application asks for, and nothing else', async () => {
    const forms = [
      (response) => response.setHeader('Connection', 'keep-alive'),
      (response) => response.writeHead(200, { Connection: 'Keep-Alive', 'X-Other': 'keep-alive' }),
      (response) => response.writeHead(200, ['connection', 'keep-alive', 'X-Other', 'keep-alive']),
      (response) => {
        response.setHeader('X-Other', 'keep-alive');
        response.writeHead(200, { connection: 'keep-alive' });
      },
    ];
    await serve(http.createServer((request, response) => {
      forms[Number(request.url.slice(1))](response);
      response.end('done');
    }));
    const sockets = await Promise.all(forms.map(() => connect(port)));
    await accepted(4);
    const drained = drain.begin();
    for (const [index, socket] of sockets.entries()) {
      socket.write(get(`/${index}`));
      const text = await received(socket, /\r\n\r\n[^]*done/);
      assert.match(text, /\r\nconnection: close\r\n/i);
      assert.doesNotMatch(text, /\r\nconnection: keep-alive/i);
      if (index > 0) assert.match(text, /x-other: keep-alive/i);
    }
    await drained;
  });

  it('closes a TLS connection that never shakes hands after the grace', async () => {
    await serve(https.createServer({ key, cert }, handle));
    await connect(port);
    await accepted(1);
    const start = performance.now();
    await drain.begin();
    const took = performance.now() - start;
    assert.ok(took > GRACE - 10 && took < GRACE + LATE, `took ${took} ms`);
  });

  it('leaves streams to their clients until it is told to end', async () => {
    await serve(http.createServer((request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      held.push(() => response.write('data: 1\n\n'));
    }));
    const socket = await connect(port);
    await ask(socket, get());
    const drained = drain.begin();
    await pause(GRACE * 1.5);
    held[0]();
    await received(socket, /data: 1/);
    assert.deepStrictEqual(drain.endNow(), { ...NOTHING, http: 1, requests: 1 });
    assert.deepStrictEqual(drain.endNow(), NOTHING);
    await drained;
    await closed(socket);
  });

  it('leaves WebSockets until it is told to end, and then says 1001', async () => {
    const server = http.createServer(handle);
    const endpoint = new WebSocketServer({ server });
    endpoint.on('connection', (socket) => socket.on('message', (text) => socket.send(text)));
    await serve(server);
    const client = new WebSocket(`ws://127.0.0.1:${port}`);
    await once(client, 'open');
    const drained = drain.begin();
    await pause(GRACE * 1.5);
    client.send('still here');
    assert.strictEqual(String((await once(client, 'message'))[0]), 'still here');
    assert.deepStrictEqual(drain.endNow(), { ...NOTHING, websocket: 1 });
    assert.strictEqual((await once(client, 'close'))[0], 1001);
    await drained;
  });

  it('treats upgrade requests as requests where the application has stopped to listen for them', async () => {
    const server = await serve(http.createServer(handle));
    const listener = () => assert.fail('called');
    server.on('upgrade', listener);
    server.removeListener('upgrade', listener);
    assert.strictEqual(server.listenerCount('upgrade'), 0);
    const socket = await connect(port);
    socket.write(get('/now', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'));
    await received(socket, /200 OK[^]*\/now/);
  });

  it('leaves raw connections until they end, or it is told to', async () => {
    for (const secure of [false, true]) {
      const listener = (socket) => socket.on('error', () => {}).pipe(socket);
      await serve(secure ? tls.createServer({ key, cert }, listener) : net.createServer(listener));
      const sockets = [await connect(port, { secure }), await connect(port, { secure })];
      await accepted(2);
      const drained = drain.begin();
      await pause(GRACE * 1.5);
      for (const socket of sockets) {
        socket.write('still here');
        await received(socket, /still here/);
      }
      sockets[0].end();
      await closed(sockets[0]);
      while (drain.open > 1) await new Promise(setImmediate);
      assert.deepStrictEqual(drain.endNow(), { ...NOTHING, tcp: 1 });
      await drained;
    }
  });

  for (const secure of [false, true]) {
    describe(secure ? 'http2 over TLS' : 'http2 in plain', () => {
      let session;

      beforeEach(async () => {
        await serve(secure
          ? http2.createSecureServer({ key, cert, allowHTTP1: true }, handle)
          : http2.createServer(handle));
        session = http2.connect(`${secure ? 'https' : 'http'}://localhost:${port}`, {
          createConnection: () => (secure
            ? tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] })
            : net.connect(port, '127.0.0.1')),
        });
        opened.add(session);
        session.on('error', () => {});
        await once(session, 'connect');
      });

      const request = (path) => {
        const stream = session.request({ ':path': path });
        stream.setEncoding('utf8');
        return stream.toArray().then((parts) => parts.join(''));
      };

      it('announces its leave, and answers the streams under way', async () => {
        const answers = [request('/held'), request('/now')];
        assert.strictEqual(await answers[1], '/now');
        const said = once(session, 'goaway');
        const drained = drain.begin();
        const [code, lastStream] = await said;
        assert.deepStrictEqual([code, lastStream], [0, 2 ** 31 - 1]);
        await pause(GRACE * 1.5);
        assert.strictEqual(drain.open, 1);
        release();
        assert.strictEqual(await answers[0], '/held');
        await drained;
      });

      it('lets a session that asked nothing yet ask within the grace', async () => {
        const drained = drain.begin();
        await pause(GRACE / 2);
        assert.strictEqual(await request('/now'), '/now');
        await drained;
      });

      it('ends a session that stays idle', async () => {
        const gone = once(session, 'close');
        await drain.begin();
        await gone;
      });

      it('ends what is left when it is told to', async () => {
        const answer = request('/held').catch(() => 'cut');
        while (!held.length) await new Promise(setImmediate);
        const drained = drain.begin();
        assert.deepStrictEqual(drain.endNow(), { ...NOTHING, http2: 1, requests: 1 });
        assert.notStrictEqual(await answer, '/held');
        await drained;
      });
    });
  }

  it('drains HTTP/1 on an HTTP/2 server', async () => {
    await serve(http2.createSecureServer({ key, cert, allowHTTP1: true }, handle));
    const socket = await connect(port, { secure: true });
    await ask(socket, get('/held'));
    const drained = drain.begin();
    release();
    await received(socket, /connection: close[^]*\/held/i);
    await drained;
  });

  it('ends at once what is open when it is told to before it began', async () => {
    const server = await serve(http.createServer(handle));
    const sockets = [await connect(port), await connect(port)];
    await ask(sockets[0], get('/held'));
    await accepted(2);
    const gone = once(server, 'close');
    assert.deepStrictEqual(drain.endNow(), { ...NOTHING, http: 2, requests: 1 });
    await gone;
    await drain.begin();
    await refused(port);
  });
});
