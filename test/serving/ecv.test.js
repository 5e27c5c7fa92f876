// ECV on the application's port: what balancers are told, on every kind of app, and who may change it.
'use strict';

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');

const { connectTo, eventually, freePort, inTime, ready, reap, refused, request, start } = require('../support');

const DATE = /\w{3} \w{3} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4} \([^)]+\)/;
const BODY = new RegExp(
  `^status=(\\w+)&ServeTraffic=(\\w+)&ip=([^&]*)&hostname=${os.hostname()}&port=([^&]+)&time=${DATE.source}$`,
);

describe('ECV', () => {
  afterEach(reap);

  async function startApp(kind = 'http', { env, ...options } = {}) {
    const program = start('ecv', { options, env, args: [kind] });
    await ready(program, options.noWorkers);
    return program;
  }

  const ask = (program, rest = {}) => request(program.port, { path: '/ecv', ...rest });
  const post = (program, verb, rest = {}) =>
    request(program.port, { method: 'POST', path: `/ecv/${verb}`, ...rest });

  /** The word of the answer. */
  async function status(program, rest) {
    const { body } = await ask(program, rest);
    return BODY.exec(body)?.[1];
  }

  it('answers as cluster2 did, to the letter', async () => {
    const port = await freePort();
    const program = await startApp('http', { port, ecv: { control: true } });
    const { status: code, headers, body } = await ask(program);
    const [, word, serves, ip, shown] = BODY.exec(body);
    assert.deepEqual([code, word, serves, ip, shown], [200, 'AVAILABLE', 'true', '127.0.0.1', String(port)]);
    assert.equal(headers['content-type'], 'text/plain');
    assert.match(headers.since, DATE);
    assert.equal(headers['cache-control'], 'no-cache');
    assert.equal(headers['x-powered-by'], 'Cluster2');
    assert.equal(headers.connection, 'close');
    assert.equal(headers['transfer-encoding'], 'chunked');
    assert.equal(headers['x-app'], undefined);
  });

  for (const kind of ['http', 'express4', 'express5', 'koa', 'fastify', 'https', 'http2s']) {
    it(`is seen to before a ${kind} app, HEAD and control included`, async () => {
      const isSecure = kind === 'https' || kind === 'http2s';
      const program = await startApp(kind, { ecv: { control: true, monitor: '/check' } });
      const over = (options) => (isSecure ? secureRequest : request)(program.port, options);
      const well = await over({ path: '/ecv?x=1' });
      assert.deepEqual([well.status, BODY.exec(well.body)?.[1]], [200, 'AVAILABLE']);
      await program.line('check');
      const head = await over({ path: '/ecv', method: 'HEAD' });
      assert.deepEqual([head.status, head.body, head.headers['x-powered-by']], [200, '', 'Cluster2']);
      const off = await over({ method: 'POST', path: '/ecv/disable' });
      assert.deepEqual([off.status, off.body, off.headers.connection], [204, '', 'close']);
      assert.deepEqual([off.headers['x-powered-by'], off.headers['cache-control']], ['Cluster2', 'no-cache']);
      assert.match(off.headers.since, DATE);
      assert.deepEqual((await program.line('warning')).args, [{ message: 'Disable request received' }]);
      assert.equal((await over({ path: '/ecv' })).status, 400);
      assert.equal((await over({ path: '/anything' })).body, 'app');
      const on = await over({ method: 'POST', path: '/ecv/enable' });
      assert.deepEqual([on.status, on.headers['x-powered-by'], on.headers.since], [204, undefined, undefined]);
      assert.deepEqual((await program.line('warning')).args, [{ message: 'Enable request received' }]);
      assert.equal((await over({ path: '/ecv' })).status, 200);
      // What is not ours is the application's.
      for (const foreign of [{ path: '/ecvs' }, { path: '/ecv/disable' }, { method: 'POST', path: '/ecv' }]) {
        assert.equal((await over(foreign)).headers['x-app'], 'yes', JSON.stringify(foreign));
      }
    });
  }

  for (const kind of ['http2', 'http2 streams', 'http2s']) {
    it(`speaks HTTP/2 where the app (${kind}) does`, async () => {
      const program = await startApp(kind, { ecv: { control: true, monitor: '/check' } });
      const over = (headers) => http2Request(program.port, kind === 'http2s', headers);
      const well = await over({ ':path': '/ecv' });
      assert.deepEqual([well.headers[':status'], BODY.exec(well.body)?.[1]], [200, 'AVAILABLE']);
      await program.line('check');
      const head = await over({ ':path': '/ecv', ':method': 'HEAD' });
      assert.deepEqual([head.headers[':status'], head.body], [200, '']);
      const foreign = await over({ ':path': '/ecv/disable', ':method': 'POST', origin: 'https://evil.example' });
      assert.equal(foreign.headers[':status'], 403);
      assert.equal((await over({ ':path': '/ecv/disable', ':method': 'POST' })).headers[':status'], 204);
      const off = await over({ ':path': '/ecv' });
      assert.deepEqual([off.headers[':status'], BODY.exec(off.body)?.[1]], [400, 'DISABLED']);
      assert.equal((await over({ ':path': '/other' })).body, 'app');
    });
  }

  it('is there for proxies, which ask for the whole address', async () => {
    const program = await startApp('http', { ecv: { control: true }, noWorkers: 1 });
    const whole = (path) => `http://a.example${path}`;
    assert.equal(await status(program, { path: whole('/ecv?x=1') }), 'AVAILABLE');
    assert.equal((await request(program.port, { method: 'POST', path: whole('/ecv/disable') })).status, 204);
    assert.equal(await status(program, { path: whole('/ecv') }), 'DISABLED');
    for (const path of [whole(''), whole('/'), whole('/other/ecv'), whole('/?/ecv'), 'ecv://a.example/ecv', '*']) {
      const method = path === '*' ? 'OPTIONS' : 'GET';
      assert.equal((await request(program.port, { method, path })).body, 'app', path);
    }
  });

  it('is on every app of a list, and one command disables all', async () => {
    const program = await startApp('list', { ecv: { control: true } });
    const [one, other] = program.addresses.app.map(({ port }) => ({ port }));
    for (const app of [one, other]) assert.equal(await status(app), 'AVAILABLE');
    await post(one, 'disable');
    for (const app of [one, other]) assert.equal(await status(app), 'DISABLED');
  });

  it('checks an app on a unix socket', async () => {
    const program = await startApp('http', { port: './ecv.sock', ecv: { monitor: '/check' } });
    const socket = path.resolve(program.cwd, 'ecv.sock');
    const { body } = await ask({ port: socket });
    assert.match(body, /^status=AVAILABLE&ServeTraffic=true&ip=&hostname=[^&]+&port=\.\/ecv\.sock&/);
    await program.line('check');
  });

  it('is off with ecv: false, and its control by default', async () => {
    const off = await startApp('http', { ecv: false });
    assert.equal((await ask(off)).headers['x-app'], 'yes');
    const uncontrolled = await startApp('http', { ecv: { path: '/up' } });
    assert.equal((await request(uncontrolled.port, { path: '/up' })).headers['x-powered-by'], 'Cluster2');
    assert.equal((await request(uncontrolled.port, { path: '/up/disable', method: 'POST' })).headers['x-app'], 'yes');
  });

  describe('self-check', () => {
    it('is WARNING for a status from 300 on, and AVAILABLE below', async () => {
      for (const [code, expected] of [[204, 200], [299, 200], [302, 500], [404, 500], [503, 500]]) {
        const program = await startApp('http', { noWorkers: 1, ecv: { monitor: `/check?${code}` } });
        const answer = await ask(program);
        assert.equal(answer.status, expected, `a check with ${code}`);
        if (expected === 500) assert.match(answer.body, /^status=WARNING&ServeTraffic=false&ip=127\.0\.0\.1&/);
        await reap();
      }
    });

    it('is bounded, and one request however many ask', async () => {
      const env = { CHECK_DELAY: '60000' };
      const program = await startApp('http', { noWorkers: 1, env, ecv: { monitor: '/check', timeout: 300 } });
      const begun = Date.now();
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(program)));
      assert.ok(Date.now() - begun < 5000);
      for (const answer of answers) assert.equal(answer.status, 500);
      assert.equal(program.seen('check').length, 1);
    });

    for (const [validator, expected] of [['accept', 200], ['refuse', 500], ['throw', 500], ['later', 500]]) {
      it(`asks the validator (${validator})`, async () => {
        const env = { VALIDATOR: validator, SIZE_OF_BODY: '5' };
        const program = await startApp('http', { env, ecv: { monitor: '/check?201' } });
        assert.equal((await ask(program)).status, expected);
        if (validator !== 'accept') return;
        const { args: [seen] } = await program.line('validated');
        assert.deepEqual(seen, { status: 201, hasHeaders: true, length: 5 });
      });
    }
  });

  describe('state', () => {
    it('is one truth for all workers, those forked later included, whoever was asked', async () => {
      const program = await startApp('http', { noWorkers: 3, ecv: { control: true } });
      assert.equal((await post(program, 'disable')).status, 204);
      const answers = await Promise.all(Array.from({ length: 60 }, () => status(program)));
      assert.deepEqual([...new Set(answers)], ['DISABLED']);
      for (const pid of program.workers) process.kill(pid, 'SIGKILL');
      await program.lines('listening', 6);
      for (let round = 0; round < 20; round += 1) assert.equal(await status(program), 'DISABLED');
      await post(program, 'enable');
      assert.equal(await status(program), 'AVAILABLE');
    });

    it('changes at once while a worker is blocked', async () => {
      const program = await startApp('http', { noWorkers: 2, ecv: { control: true } });
      const [blocked, free] = program.workers;
      const [held, connection] = [await connectTo(program.port, blocked), await connectTo(program.port, free)];
      held.get('/block?1500');
      await program.line(({ event, args }) => event === 'blocked' && args[0] === blocked);
      // On the open connection the request comes to wait behind the block.
      held.get('/ecv');
      const begun = Date.now();
      connection.send('POST /ecv/disable HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
      await connection.until(/^HTTP\/1\.1 204 /);
      assert.ok(Date.now() - begun < 1000, 'the POST waited for the blocked worker');
      await held.until(/HTTP\/1\.1 400 Bad Request[^]*status=DISABLED/);
    });

    it('is changed by the commands of cluster2 and by no other message', async () => {
      const program = await startApp('http');
      const send = (command) => request(program.port, { path: `/send?${command}` });
      const becomes = (word) => eventually(async () => await status(program) === word, { what: word });
      await send('disable');
      await becomes('DISABLED');
      await send('refresh');
      await send('enabled');
      assert.equal(await status(program), 'DISABLED');
      await send('enable');
      await becomes('AVAILABLE');
    });

    it('is changed by the application, in the master and in workers', async () => {
      const program = await startApp('http', { env: { ON_SIGNAL: 'disable,enable' } });
      program.kill('SIGUSR2');
      await program.line('done');
      assert.equal(await status(program), 'DISABLED');
      program.kill('SIGUSR2');
      await program.line('done');
      assert.equal(await status(program), 'AVAILABLE');
      await request(program.port, { path: '/do?disable' });
      assert.equal(await status(program), 'DISABLED');
      await request(program.port, { path: '/do?enable' });
      assert.equal(await status(program), 'AVAILABLE');
    });

    it('begins disabled with startDisabled', async () => {
      const program = await startApp('http', { ecv: { startDisabled: true, control: true } });
      assert.equal(await status(program), 'DISABLED');
      await post(program, 'enable');
      assert.equal(await status(program), 'AVAILABLE');
    });

    it('is DISABLED for drainDelay before its ports refuse', async () => {
      const program = await startApp('http', { drainDelay: 700, keepAliveGrace: 50 });
      program.kill('SIGTERM');
      await program.line('SIGTERM');
      await eventually(async () => await status(program) === 'DISABLED');
      assert.equal((await request(program.port, { path: '/' })).body, 'app');
      await refused(program.port);
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
    });
  });

  describe('control', () => {
    it('is refused to other addresses, and changes nothing then', async () => {
      const ecv = { control: true, controlFrom: ['10.0.0.0/8', '::1'] };
      const program = await startApp('http', { ecv });
      const answer = await post(program, 'disable');
      assert.deepEqual([answer.status, answer.body], [403, 'Forbidden\n']);
      assert.equal(await status(program), 'AVAILABLE');
      assert.deepEqual(program.seen('warning'), []);
    });

    it('is granted by address and token', async () => {
      const ecv = { control: true, controlFrom: '127.0.0.0/8', token: 's3cret' };
      const program = await startApp('http', { ecv });
      for (const authorization of [undefined, 'Bearer wrong', 'Basic s3cret', 's3cret']) {
        const answer = await post(program, 'disable', { headers: authorization && { authorization } });
        assert.deepEqual([answer.status, answer.body], [403, 'Forbidden\n']);
      }
      assert.equal(await status(program), 'AVAILABLE');
      assert.equal((await post(program, 'disable', { headers: { authorization: 'Bearer s3cret' } })).status, 204);
      assert.equal(await status(program), 'DISABLED');
    });
  });

  it('works without workers', async () => {
    const port = await freePort();
    const options = { port, cluster: false, drainDelay: 300, ecv: { control: true, startDisabled: true } };
    const program = start('ecv', { options, args: ['http'] });
    await program.line('callback');
    program.port = port;
    assert.equal(await status(program), 'DISABLED');
    assert.equal((await post(program, 'enable')).status, 204);
    assert.equal(await status(program), 'AVAILABLE');
    await request(port, { path: '/do?disable' });
    assert.equal(await status(program), 'DISABLED');
    await post(program, 'enable');
    program.kill('SIGTERM');
    await eventually(async () => await status(program) === 'DISABLED');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });
});

function secureRequest(port, options) {
  const where = { host: '127.0.0.1', port, rejectUnauthorized: false, agent: false };
  return collect((done) => https.request({ ...where, ...options }, done));
}

function collect(begin) {
  return inTime(new Promise((resolve, reject) => {
    const sent = begin((response) => {
      let body = '';
      response.on('data', (part) => { body += part; });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    sent.on('error', reject);
    sent.end();
  }), 'secure answer');
}

function http2Request(port, isSecure, headers) {
  const session = http2.connect(`${isSecure ? 'https' : 'http'}://127.0.0.1:${port}`, { rejectUnauthorized: false });
  return inTime(new Promise((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request(headers);
    let [received, body] = [undefined, ''];
    stream.on('error', reject);
    stream.on('response', (given) => { received = given; });
    stream.setEncoding('utf8').on('data', (part) => { body += part; });
    stream.on('end', () => resolve({ headers: received, body }));
    stream.end();
  }), 'HTTP/2 answer').finally(() => session.close());
}
