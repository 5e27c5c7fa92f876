// `npm run test:frameworks`: the examples whose packages are too heavy for everybody's `npm test`, and cluster scripts
// in TypeScript. What can't be fetched, or doesn't run on this Node, is skipped and says why.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');

const { obtainSet } = require('../../scripts/frameworks');
const { connect, eventually, freePort, reap, request, start } = require('../support');
const { layExamples } = require('../support/stage');

const FETCH_MS = 6 * 60_000;
const BUILD_MS = 5 * 60_000;
const NO_WORKERS = require('../..').defaultOptions.noWorkers;

describe('NestJS 12', function () {
  this.timeout(60000);
  const set = setOf('nest');
  afterEach(reap);

  it('answers from every worker, loses no request in a reload, and ends gracefully', async () => {
    const server = await serve(path.join(set.examples, 'nest-server.mjs'));
    assert.equal(await server.get('/'), 'hello');
    assert.equal(JSON.parse(await server.get('/nothing')).statusCode, 404);
    await reloadUnderLoad(server, (body) => assert.equal(body, 'hello'));
    await shutDown(server);
  });

  it('does so with the adapter for Fastify, whose instance is handed over', async () => {
    const text = fs.readFileSync(path.join(set.examples, 'nest-server.mjs'), 'utf8')
      .replace('create(AppModule,', 'create(AppModule, new FastifyAdapter(),')
      .replaceAll('app.getHttpServer()', 'app.getHttpAdapter().getInstance()');
    const script = path.join(set.examples, 'nest-fastify-server.mjs');
    fs.writeFileSync(script, `import { FastifyAdapter } from '@nestjs/platform-fastify';\n${text}`);
    const server = await serve(script);
    assert.equal(JSON.parse(await server.get('/nothing')).statusCode, 404);
    await reloadUnderLoad(server, (body) => assert.equal(body, 'hello'));
    await shutDown(server);
  });
});

describe('Next 16', function () {
  this.timeout(60000);
  const set = setOf('next');
  afterEach(reap);

  it('is built', function build() {
    this.timeout(BUILD_MS);
    const next = path.join(set.home, 'node_modules/next/dist/bin/next');
    const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' };
    const { status, stdout, stderr } = spawnSync(process.execPath, [next, 'build', path.join(set.examples, 'next')], {
      cwd: set.home, env, encoding: 'utf8', timeout: BUILD_MS,
    });
    assert.equal(status, 0, `${stdout}\n${stderr}`);
  });

  it('answers from every worker, loses no request in a reload, and ends gracefully', async () => {
    const server = await serve(path.join(set.examples, 'next/server.js'), { env: { NEXT_TELEMETRY_DISABLED: '1' } });
    const isPage = (body) => assert.match(body, /<p>hello from worker (<!-- -->)?\d+<\/p>/);
    isPage(await server.get('/'));
    await reloadUnderLoad(server, isPage);
    await shutDown(server);
  });
});

describe('hapi 21, Hono 4 and gRPC', function () {
  this.timeout(60000);
  const set = setOf('servers');
  afterEach(reap);

  for (const file of ['hapi-server.js', 'hono-server.mjs']) {
    it(`${file} answers from every worker, loses no request in a reload, and ends gracefully`, async () => {
      const server = await serve(path.join(set.examples, file));
      await reloadUnderLoad(server, (body) => assert.equal(body, 'hello'));
      await shutDown(server);
    });
  }

  it('grpc-server.js answers calls beside requests, loses none in a reload, and ends gracefully', async () => {
    const rpcPort = await freePort();
    const server = await serve(path.join(set.examples, 'grpc-server.js'), { env: { GRPC_PORT: String(rpcPort) } });
    assert.equal(await server.get('/'), 'hello');
    const grpc = require(path.join(set.home, 'node_modules/@grpc/grpc-js'));
    const client = new grpc.Client(`127.0.0.1:${rpcPort}`, grpc.credentials.createInsecure());
    const toBytes = (value) => Buffer.from(value);
    const call = promisify(client.makeUnaryRequest.bind(client, '/Greeter/Greet', toBytes, String));
    try {
      await reloadUnderLoad({ ...server, get: () => call('you') }, (said) => assert.match(said, /^hello you from \d+$/));
      await shutDown(server);
    } finally {
      client.close();
    }
  });
});

describe('connect, h3, polka, restify and GraphQL Yoga', function () {
  this.timeout(60000);
  const set = setOf('handlers');
  afterEach(reap);

  const c = `
    import Cluster from '../index.js';
    const c = new Cluster({ port: process.env.PORT, monPort: process.env.MON_PORT });
    c.on('listening', (pid) => console.log(\`worker \${pid} listening\`));`;
  const SCRIPTS = {
    'connect 3': `${c}
      import connect from 'connect';
      c.listen((cb) => cb(connect().use((request, response) => response.end('hello'))));`,
    'h3 2': `${c}
      import { H3 } from 'h3';
      import { toNodeHandler } from 'h3/node';
      c.listen((cb) => cb(toNodeHandler(new H3().get('/', () => 'hello'))));`,
    'polka 0.5': `${c}
      import polka from 'polka';
      c.listen((cb) => cb(polka().get('/', (request, response) => response.end('hello'))));`,
    'restify 12': `${c}
      import restify from 'restify';
      const server = restify.createServer();
      server.get('/', (request, response, next) => next(response.sendRaw('hello')));
      c.listen((cb) => cb(server));`,
    'GraphQL Yoga 5': `${c}
      import { createSchema, createYoga } from 'graphql-yoga';
      const resolvers = { Query: { hello: () => 'hello' } };
      const yoga = createYoga({ schema: createSchema({ typeDefs: 'type Query { hello: String }', resolvers }) });
      c.cleanup(() => yoga.dispose());
      c.listen((cb) => cb(yoga));`,
  };
  for (const [name, text] of Object.entries(SCRIPTS)) {
    it(`${name} answers from every worker, loses no request in a reload, and ends gracefully`, async () => {
      const script = path.join(set.examples, `${name.replaceAll(' ', '-')}.mjs`);
      fs.writeFileSync(script, text);
      const server = await serve(script);
      const get = () => server.get(name.includes('Yoga') ? '/graphql?query={hello}' : '/');
      await reloadUnderLoad({ ...server, get }, (body) => assert.match(body, /^hello$|^\{"data":\{"hello":"hello"\}\}$/));
      await shutDown(server);
    });
  }
});

describe('Apollo 5', function () {
  this.timeout(60000);
  const set = setOf('apollo');
  afterEach(reap);

  it('answers from every worker, loses no query in a reload, and ends gracefully', async () => {
    const server = await serve(path.join(set.examples, 'apollo-server.mjs'));
    const query = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"query":"{hello}"}' };
    const get = async () => (await request(server.port, { path: '/graphql', ...query })).body;
    await reloadUnderLoad({ ...server, get }, (body) => assert.equal(body, '{"data":{"hello":"hello"}}\n'));
    assert.match((await request(server.port, { path: '/ecv' })).body, /^status=AVAILABLE/);
    await shutDown(server);
  });
});

describe('a cluster script in TypeScript, by tsx', function () {
  this.timeout(60000);
  const set = setOf('tsx');
  afterEach(reap);

  const WAYS = {
    'the command tsx': (script) => [path.join(set.home, 'node_modules/tsx/dist/cli.mjs'), { args: [script] }],
    'node --import tsx': (script) => {
      return [script, { execArgv: ['--import', path.join(set.home, 'node_modules/tsx/dist/loader.mjs')] }];
    },
  };
  for (const [way, given] of Object.entries(WAYS)) {
    it(`is run in master and workers by ${way}, with an await at its top level`, async () => {
      const server = await serve(...given(path.join(set.examples, 'typescript-server.mts')));
      assert.match(await server.get('/'), /^hello, worker \d+$/);
      const [{ text }] = await server.program.lines(/^worker \d+ listening/, NO_WORKERS);
      const pid = Number(/\d+/.exec(text)[0]);
      process.kill(pid, 'SIGKILL');
      await server.program.lines(/^worker \d+ listening/, NO_WORKERS + 1);
      assert.match(await server.get('/'), /^hello, worker \d+$/);
      await shutDown(server);
    });
  }
});

// The packages and, beside them, the examples; skips what is in this `describe` where they can't be had.
function setOf(name) {
  const set = {};
  before(async function fetch() {
    this.timeout(FETCH_MS);
    const { home, problem } = await obtainSet(name);
    if (problem) {
      console.log(`      skipped: ${problem}`);
      this.skip();
    }
    Object.assign(set, { home, examples: layExamples(home) });
  });
  return set;
}

// Until every worker serves.
async function serve(script, { env = {}, ...rest } = {}) {
  const port = await freePort();
  const program = start(script, { ...rest, env: { PORT: String(port), MON_PORT: '0', ...env } });
  await program.lines(/^worker \d+ listening/, NO_WORKERS, { within: 40000 });
  await eventually(() => connect(port).then((connection) => connection.close() ?? true, () => false));
  const get = async (where) => (await request(port, { path: where, within: 20000 })).body;
  return { program, port, get };
}

async function reloadUnderLoad({ program, get }, check) {
  let isOver = false;
  let count = 0;
  const load = (async () => {
    while (!isOver) {
      check(await get('/'));
      count += 1;
    }
  })();
  program.kill('SIGUSR2');
  await program.lines(/^worker \d+ listening/, 2 * NO_WORKERS, { within: 40000 });
  await eventually(() => count > 20, { within: 40000 });
  isOver = true;
  await load;
}

async function shutDown({ program }) {
  program.kill();
  assert.deepEqual(await program.exit({ within: 20000 }), { code: 0, signal: null });
  await program.gone();
}
