'use strict';

// What createApp may hand over, and the server that comes out of it.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const { collectApps, toServer } = require('../../lib/shared/create-app');
const { extraServer, extraServers } = require('../../lib/worker/serving/extra-ports');
const { cert, cleanUp, closed, connect, key, listen, received } = require('../support/in-process');

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const invalid = { code: 'ERR_CLUSTER2_INVALID_APP' };

describe('collectApps', () => {
  const app = () => {};
  const monApp = () => {};

  it('gives one app without a port, and the monitor app', async () => {
    const collected = await collectApps((callback) => callback(app, monApp));
    assert.deepStrictEqual(collected, { apps: [{ app, port: undefined }], monApp });
  });

  it('drops the entries of an array that lack an app or a port, and keeps port 0', async () => {
    const { apps } = await collectApps((callback) => callback([
      { app, port: 1 }, { app }, { port: 2 }, null, { app, port: [3, 4] }, { app, port: 0 },
    ]));
    assert.deepStrictEqual(apps.map(({ port }) => port), [1, [3, 4], 0]);
  });

  it('waits for a createApp that is async or calls back later, and takes its first call', async () => {
    const later = await collectApps((callback) => {
      setTimeout(() => {
        callback(app);
        callback(monApp);
      }, 5);
    });
    assert.strictEqual(later.apps[0].app, app);
    const awaited = await collectApps(async (callback) => {
      await null;
      callback(app);
    });
    assert.strictEqual(awaited.apps[0].app, app);
  });

  it('rejects with what createApp throws or rejects with, even right after it called back', async () => {
    const problem = new Error('no');
    await assert.rejects(collectApps(() => {
      throw problem;
    }), problem);
    await assert.rejects(collectApps(async (callback) => {
      callback(app);
      throw problem;
    }), problem);
    await assert.rejects(collectApps((callback) => {
      callback(app);
      throw problem;
    }), problem);
  });

  it('rejects a callback without an app', async () => {
    await assert.rejects(collectApps((callback) => callback()), invalid);
  });
});

describe('toServer', () => {
  afterEach(cleanUp);

  const frameworks = {
    'a request listener': () => (request, response) => response.end('hello'),
    'express 5': () => {
      const app = require('express')();
      app.get('/', (request, response) => response.send('hello'));
      return app;
    },
    'express 4': () => {
      const app = require('express4')();
      app.get('/', (request, response) => response.send('hello'));
      return app;
    },
    koa: () => {
      const app = new (require('koa'))();
      app.use((context) => {
        context.body = 'hello';
      });
      return app;
    },
    fastify: () => {
      const app = require('fastify')();
      app.get('/', async () => 'hello');
      return app;
    },
    'an object that makes its server when it listens': () => ({
      listen(...args) {
        return http.createServer((request, response) => response.end('hello')).listen(...args);
      },
    }),
    'an object that listens after it awaited something': () => ({
      async listen(port) {
        await new Promise(setImmediate);
        const server = http.createServer((request, response) => response.end('hello'));
        await new Promise((resolve) => {
          server.listen(port, resolve);
        });
      },
    }),
    "an object that takes cluster2's arguments, and calls back before it listens": () => ({
      listen(port, host, callback) {
        callback();
        http.createServer((request, response) => response.end('hello')).listen(port, host);
      },
    }),
    'an object with a server': () => ({
      server: http.createServer((request, response) => response.end('hello')),
    }),
  };
  for (const [name, make] of Object.entries(frameworks)) {
    it(`makes a server of ${name}`, async function test() {
      let app;
      try {
        app = make();
      } catch (error) {
        // A framework may have left this version of Node behind.
        if (Number(process.versions.node.split('.')[0]) < 20) this.skip();
        throw error;
      }
      const server = await toServer(app);
      assert.ok(server instanceof net.Server);
      assert.strictEqual(server.listening, false);
      const socket = await connect(await listen(server));
      socket.write(GET);
      await received(socket, /200 OK[^]*hello/);
    });
  }

  it('gives servers as they are', async () => {
    const servers = [
      net.createServer(), http.createServer(), https.createServer({ key, cert }), http2.createServer(),
      http2.createSecureServer({ key, cert }),
    ];
    for (const server of servers) assert.strictEqual(await toServer(server), server);
  });

  it('leaves other servers alone that listen while one is caught', async () => {
    const app = { listen: () => new Promise((resolve) => {
      setImmediate(() => resolve(http.createServer().listen(0)));
    }) };
    const caught = toServer(app);
    const port = await listen(net.createServer());
    assert.ok(port > 0);
    assert.strictEqual((await caught).listening, false);
  });

  it('refuses what cannot be served', async () => {
    const apps = [
      null, 'app', 3000, {}, { listen() {} }, { listen: async () => 1 },
      { listen() {
        throw new Error('no');
      } },
    ];
    for (const app of apps) await assert.rejects(toServer(app), invalid);
  });

  it('refuses an app that listens already', async () => {
    const server = http.createServer();
    await listen(server);
    await assert.rejects(toServer(server), { code: 'ERR_CLUSTER2_APP_LISTENING' });
  });
});

describe('extraServer', () => {
  afterEach(cleanUp);

  it('brings requests of a second port to the same server', async () => {
    for (const secure of [false, true]) {
      const answer = (request, response) => response.end(`port ${request.socket.localPort}`);
      const server = secure ? https.createServer({ key, cert }, answer) : http.createServer(answer);
      const ports = [await listen(server), await listen(extraServer(server))];
      assert.strictEqual(extraServers(server).length, 1);
      for (const port of ports) {
        const socket = await connect(port, { secure });
        socket.write(GET);
        await received(socket, new RegExp(`port ${port}`));
      }
    }
  });

  it('brings HTTP/2 sessions and raw connections too', async () => {
    const server = http2.createServer((request, response) => response.end('hello'));
    await listen(server);
    const session = http2.connect(`http://127.0.0.1:${await listen(extraServer(server))}`);
    const stream = session.request({ ':path': '/' });
    assert.strictEqual((await stream.setEncoding('utf8').toArray()).join(''), 'hello');
    session.destroy();

    const raw = net.createServer((socket) => socket.end(String(socket.server === raw)));
    await listen(raw);
    await received(await connect(await listen(extraServer(raw))), /true/);
  });

  it('counts its connections with the server, whose limit and close they share', async () => {
    const server = net.createServer((socket) => socket.write('hello'));
    const ports = [await listen(server), await listen(extraServer(server))];
    const sockets = [await connect(ports[0]), await connect(ports[1])];
    for (const socket of sockets) await received(socket, /hello/);
    assert.strictEqual(await new Promise((resolve) => {
      server.getConnections((error, count) => resolve(count));
    }), 2);

    server.maxConnections = 2;
    const dropped = once(server, 'drop');
    await closed(await connect(ports[1]));
    await dropped;

    let isClosed = false;
    server.close(() => {
      isClosed = true;
    });
    const gone = once(server, 'close');
    sockets[0].destroy();
    await new Promise(setImmediate);
    assert.strictEqual(isClosed, false);
    assert.strictEqual(extraServers(server)[0].listening, false);
    sockets[1].destroy();
    await gone;
    assert.strictEqual(isClosed, true);
  });
});
