// What only JavaScript can answer on the monitor's port: the application's own monitor app, and /ComponentStatus.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');

const { connect, eventually, freePort, ready, reap, request, start } = require('../support');

const BLOCK_MS = 5000;

describe('the application\'s own monitor app', function () {
  this.timeout(60000);
  afterEach(reap);

  async function startApp(kind, { env, ...options } = {}) {
    const monPort = await freePort();
    const given = { monPort, monHost: '127.0.0.1', noWorkers: 1, ...options };
    const program = start('monitor', { options: given, env, args: [kind] });
    if (options.cluster === false) await program.line('addresses');
    else await ready(program, 1);
    return Object.assign(program, { monPort, ask: (path, rest) => request(monPort, { path, ...rest }) });
  }

  for (const kind of ['function', 'http', 'https', 'http2', 'express', 'koa', 'fastify']) {
    it(`is asked first, and ours answer what it has not: ${kind}`, async () => {
      const { ask, monPort } = await startApp(kind);
      const own = await ask('/own');
      assert.deepEqual([own.status, own.body], [200, `own GET from 127.0.0.1 for 127.0.0.1:${monPort}`]);
      const page = await ask('/');
      assert.equal(page.status, 200);
      assert.match(page.body, /<title>Runtime Monitor<\/title>/);
      assert.equal(JSON.parse((await ask('/status.json')).body).serving, 1);
      assert.equal((await ask('/logs')).status, 200);
      assert.equal((await ask('/none')).body, 'There is nothing here.\n');
      assert.equal((await ask('/status.json', { method: 'POST', body: 'x' })).status, 405);
    });
  }

  it('works without workers', async () => {
    const { ask } = await startApp('http', { cluster: false, port: await freePort() });
    assert.match((await ask('/own')).body, /^own GET/);
    assert.match((await ask('/')).body, /Runtime Monitor/);
    assert.deepEqual(JSON.parse((await ask('/ComponentStatus')).body), ['worker', 'load', 'broken']);
  });

  it('is no part of what the application serves, where there are no workers', async () => {
    const port = await freePort();
    const { ask } = await startApp('http', { cluster: false, port });
    await request(port, { agent: false });
    for (let count = 0; count < 5; count += 1) await ask('/own');
    const { body } = await ask('/metrics');
    assert.match(body, /^cluster2_http_requests_total 1$/m);
  });

  it('holds no process that ends, where there are no workers', async () => {
    const program = await startApp('http', { cluster: false, port: await freePort(), shutdownTimeout: 20000 });
    const late = connect(program.monPort).then((connection) => connection.get('/late'));
    await program.line('asked');
    program.kill('SIGTERM');
    assert.equal((await program.exit({ within: 5000 })).code, 0);
    await late;
  });

  it('may have the page, but never the health paths', async () => {
    const program = await startApp('http', { env: { OWN_HOME: '1' }, ecv: { control: true } });
    const { ask } = program;
    assert.equal((await ask('/')).body, 'own home');
    for (const path of ['/live', '/ready', '/metrics', '/ecv']) assert.equal((await ask(path)).status, 200, path);
    assert.equal((await ask('/ecv/disable', { method: 'POST' })).status, 204);
    assert.equal((await ask('/ecv')).status, 400);
    assert.deepEqual(program.seen('asked').map(({ args }) => args), [['GET', '/']]);
  });

  it('is asked only for those who bring the token, and never has the control paths', async () => {
    const program = await startApp('http', { monitor: { control: true, token: 't0ken' } });
    const { ask } = program;
    for (const path of ['/own', '/', '/logs', '/logs/a.log', '/deps', '/ComponentStatus', '/none']) {
      assert.equal((await ask(path)).status, 401, path);
    }
    const headers = { authorization: 'Bearer t0ken' };
    assert.equal((await ask('/control/disable', { method: 'POST' })).status, 403);
    assert.equal((await ask('/control/disable', { method: 'POST', headers })).status, 200);
    assert.deepEqual(program.seen('asked'), []);
    assert.match((await ask('/own', { headers })).body, /^own/);
    for (const path of ['/logs', '/deps', '/ComponentStatus']) assert.equal((await ask(path, { headers })).status, 200);
  });

  it('gets bodies and gives answers of any length, and statuses other than 404 are its own', async () => {
    const { ask } = await startApp('http');
    for (const length of [0, 1, 65536, 65537, 3000000]) {
      const body = 'x'.repeat(length);
      const { status, body: echoed } = await ask('/echo', { method: 'POST', body });
      assert.deepEqual([status, echoed === body], [200, true], `${length} bytes`);
    }
    const chunked = await ask('/echo', { method: 'POST', body: 'chunks', headers: { 'transfer-encoding': 'chunked' } });
    assert.equal(chunked.body, 'chunks');
    assert.deepEqual([(await ask('/forbidden')).status, (await ask('/forbidden')).body], [403, 'forbidden']);
    const head = await ask('/own', { method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [200, '']);
    const long = await ask('/none', { method: 'POST', body: 'x'.repeat(100000) });
    assert.deepEqual([long.status, long.body], [404, 'theirs']);
  });

  it('that fails is told of, and ours answer', async () => {
    const program = await startApp('http');
    for (const path of ['/throws', '/rejects']) {
      assert.equal((await program.ask(path)).body, 'There is nothing here.\n');
      const { args: [{ message }] } = await program.line('warning');
      assert.match(message, new RegExp(`^the monitor app failed at GET ${path}: Error: for the test`));
    }
    await assert.rejects(program.ask('/half'));
    assert.match((await program.ask('/own')).body, /^own/);
  });

  it('that does not answer within five seconds leaves it to ours', async () => {
    const { ask } = await startApp('http');
    const begun = performance.now();
    assert.equal((await ask('/late')).body, 'There is nothing here.\n');
    assert.ok(performance.now() - begun > 4900);
  });

  it('learns when its client leaves', async () => {
    const program = await startApp('http');
    const connection = await connect(program.monPort);
    await connection.get('/stream').until(/first/);
    connection.close();
    await program.line('stream closed');
  });

  it('is not waited for while the master is blocked, nor asked afterwards', async () => {
    const program = await startApp('http', { env: { BLOCK_MS: String(BLOCK_MS) } });
    program.kill('SIGUSR2');
    await program.line('blocked');
    const end = performance.now() + BLOCK_MS;
    const page = await program.ask('/', { headers: { accept: 'application/json' } });
    const took = BLOCK_MS - (end - performance.now());
    assert.equal(JSON.parse(page.body).state, 'serving');
    assert.ok(took > 900 && took < BLOCK_MS, `${took} ms`);
    const many = await Promise.all(Array.from({ length: 200 }, () => program.ask('/none')));
    assert.ok(many.every(({ body }) => body === 'There is nothing here.\n'));
    // What waits for the loop is bounded, each with a descriptor.
    if (process.platform === 'linux') assert.ok(fs.readdirSync(`/proc/${program.pid}/fd`).length < 150);
    assert.equal((await program.ask('/live')).status, 200);
    assert.equal((await program.ask('/ComponentStatus')).status, 503);
    await eventually(async () => (await program.ask('/own')).body.startsWith('own'));
    assert.deepEqual(new Set(program.seen('asked').map(({ args }) => args[1])), new Set(['/own']));
  });

  for (const [kind, code] of [['raw', 'ERR_CLUSTER2_INVALID_MON_APP'], ['nonsense', 'ERR_CLUSTER2_INVALID_APP']]) {
    it(`must speak HTTP: ${kind}`, async () => {
      const program = start('monitor', { options: { monPort: await freePort() }, args: [kind] });
      assert.deepEqual(await program.exit(), { code: 1, signal: null });
      assert.match(program.stderr, new RegExp(code));
    });
  }

  it('is left alone where there is no monitor', async () => {
    const program = start('monitor', { options: { monPort: false }, args: ['raw'] });
    await ready(program, 2);
  });
});

describe('/ComponentStatus', function () {
  this.timeout(60000);
  let program;
  let ask;

  before(async () => {
    const monPort = await freePort();
    program = await ready(start('monitor', { options: { monPort, monHost: '127.0.0.1' } }));
    ask = async (query, rest) => {
      const { status, headers, body } = await request(monPort, { path: `/ComponentStatus${query}`, ...rest });
      return [status, headers['content-type'], body];
    };
    // A worker's components are known a moment after it listens.
    await eventually(async () => (await ask('?component=load'))[2] === '3');
  });
  after(reap);

  it('lists the components', async () => {
    for (const at of ['', '/', '/anything']) {
      assert.deepEqual(await ask(at), [200, 'application/json', '["worker","load","broken"]']);
    }
    assert.deepEqual(await ask('', { method: 'HEAD' }), [200, 'application/json', '']);
    assert.equal((await ask('', { method: 'POST' }))[0], 405);
  });

  it('tells what all say of one, or one process', async () => {
    const { workers, pid } = program;
    const [status, , body] = await ask('?component=worker');
    assert.deepEqual([status, new Set(JSON.parse(body))], [200, new Set([`m${pid}`, ...workers])]);
    assert.deepEqual(await ask(`?component=worker&worker=${workers[0]}`), [200, 'application/json', `[${workers[0]}]`]);
    assert.deepEqual(await ask(`?component=worker&worker=m${pid}`), [200, 'application/json', `["m${pid}"]`]);
    assert.deepEqual(await ask('?component=load&params=4'), [200, 'application/json', '12']);
    assert.deepEqual(await ask('?component=worker&worker=1'), [200, 'application/json', 'null']);
  });

  it('says 404 to a component that nobody has, and 500 to one that fails', async () => {
    const [status, type, body] = await ask('?component=%3Cscript%3E');
    assert.deepEqual([status, type], [404, 'application/json']);
    assert.equal(JSON.parse(body).code, 'ERR_CLUSTER2_UNKNOWN_COMPONENT');
    assert.doesNotMatch(body, /script/);
    const failed = await ask('?component=broken');
    assert.deepEqual([failed[0], JSON.parse(failed[2])], [500, { error: 'the component failed' }]);
    await program.line('warning');
  });
});
