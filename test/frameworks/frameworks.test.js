// `npm run test:frameworks`: the examples whose packages are too heavy for everybody's `npm test`, and cluster scripts
// in TypeScript. What can't be fetched, or doesn't run on this Node, is skipped and says why.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
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
