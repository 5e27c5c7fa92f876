// The examples, each run as its first line says, with ports of the test; those that take heavier packages are run by
// `npm run test:frameworks`.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const { io } = require('socket.io-client');
const { WebSocket } = require('ws');

const { connect, eventually, freePort, inTime, reap, request, start } = require('../support');
const { makeStage } = require('../support/stage');

// As many as the examples have.
const WORKERS = require('../..').defaultOptions.noWorkers;

describe('the example', function () {
  this.timeout(30000);
  let stage;
  afterEach(reap);
  afterEach(() => fs.rmSync(stage.directory, { recursive: true, force: true }));

  const says = async ({ port }) => (await request(port)).body;
  const ANSWERS = {
    'http-server.js': /^hello from worker \d+\n$/,
    'graceful.js': /^hello\n$/,
    'esm-server.mjs': /^\/\/ node examples\/esm-server/,
    'fastify-server.js': /^\{"hello":"world"\}$/,
    'koa-server.js': /^hello$/,
    'listening-server.js': /^hello$/,
  };
  for (const [file, expected] of Object.entries(ANSWERS)) {
    it(`${file} answers, and ends gracefully`, async () => {
      const example = await run(file, [/^(fastify|koa)/.exec(file)?.[0]].filter(Boolean));
      assert.match(await says(example), expected);
      await shutDown(example);
    });
  }

  for (const name of ['express', 'express4']) {
    it(`express-server.js answers with ${name}, and ends gracefully`, async () => {
      const example = await run('express-server.js', [name], { [name]: 'express' });
      assert.equal(await says(example), 'hello');
      const { version } = JSON.parse(fs.readFileSync(path.join(stage.directory, 'node_modules/express/package.json')));
      assert.equal(version.split('.')[0], name === 'express' ? '5' : '4');
      await shutDown(example);
    });
  }

  it('ws-server.js talks over WebSockets, and says goodbye on them when it ends', async () => {
    const { program, port } = await run('ws-server.js', ['ws']);
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const heard = inTime(new Promise((resolve) => { socket.once('message', resolve); }), 'an answer');
    const closed = inTime(new Promise((resolve) => { socket.once('close', resolve); }), 'a goodbye', 20000);
    socket.on('open', () => socket.send('hello'));
    assert.match(String(await heard), /^\d+ heard: hello$/);
    program.kill();
    assert.equal(await closed, 1001);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('socket-io-server.js keeps a client with its worker, and tells all clients of all workers', async () => {
    const example = await run('socket-io-server.js', ['socket.io', '@socket.io/cluster-adapter']);
    await example.program.lines(/^worker \d+ listening/, WORKERS);
    // Clients of one address have one worker.
    const addresses = Array.from({ length: 6 }, (_, at) => `127.0.0.${at + 1}`);
    const clients = addresses.map((localAddress) => clientOf(example.port, localAddress));
    try {
      const homes = await Promise.all(clients.map(async (client) => {
        const pids = new Set();
        for (let count = 0; count < 5; count += 1) pids.add(await echo(client));
        assert.equal(pids.size, 1);
        return [...pids][0];
      }));
      assert.ok(new Set(homes).size > 1 || WORKERS === 1, 'clients with several workers');
      const texts = clients.map((client) => inTime(new Promise((resolve) => { client.once('heard', resolve); }), 'it'));
      clients[0].emit('shout', 'good morning');
      assert.deepEqual(await Promise.all(texts), addresses.map(() => 'good morning'));
    } finally {
      for (const client of clients) client.close();
    }
    await shutDown(example);
  });

  it('prometheus.js shows the sum of what its workers counted beside the metrics of the cluster', async () => {
    const monPort = await freePort();
    const example = await run('prometheus.js', ['prom-client'], {}, { MON_PORT: String(monPort) });
    await example.program.lines(/^worker \d+ listening/, WORKERS);
    for (let count = 0; count < 20; count += 1) await says(example);
    const metrics = () => request(monPort, { path: '/metrics' }).then(({ body }) => body);
    await eventually(async () => /^greetings_total 20$/m.test(await metrics()), { what: 'the sum of all greetings' });
    assert.match(await metrics(), /^cluster2_/m);
    await shutDown(example);
  });

  // Until it serves.
  async function run(file, packages, as, env = {}) {
    stage = makeStage(packages, as);
    const port = await freePort();
    const program = start(path.join(stage.examples, file), { env: { PORT: String(port), MON_PORT: '0', ...env } });
    await eventually(() => isOpen(port), { what: `${file} to listen` });
    return { program, port };
  }
});

async function isOpen(port) {
  const connection = await connect(port).catch(() => undefined);
  connection?.close();
  return connection !== undefined;
}

async function shutDown({ program }) {
  program.kill();
  assert.deepEqual(await program.exit(), { code: 0, signal: null });
  assert.equal(program.stderr, '');
}

function clientOf(port, localAddress) {
  const agent = new http.Agent({ keepAlive: false, localAddress });
  return io(`http://127.0.0.1:${port}`, { transports: ['polling'], forceNew: true, reconnection: false, agent });
}

async function echo(client) {
  const [, pid] = await inTime(new Promise((resolve) => {
    client.emit('echo', 'text', (...answer) => resolve(answer));
  }), 'an echo');
  return pid;
}
