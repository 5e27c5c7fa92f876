// What workers write into shared memory: counts of every kind of server, and signs of life that a stuck loop lacks.
'use strict';

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const { once } = require('node:events');

const { connect, eventually, reap, ready, request, start } = require('../support');
const { readScoreboard, openFiles } = require('../support/scoreboard');

function startApp(options = {}, env = {}) {
  const program = start('scoreboard', { options: { noWorkers: 1, ...options }, env });
  return ready(program, options.noWorkers ?? 1);
}

const onlyRow = (program) => readScoreboard(program.pid).rows[0];

/** Waits until the worker's row has these numbers. */
function untilRow(program, expected) {
  return eventually(() => {
    const row = onlyRow(program);
    return Object.entries(expected).every(([name, value]) => row[name] === value) && row;
  }, { what: () => `${JSON.stringify(expected)} in ${JSON.stringify(onlyRow(program))}` });
}

describe('the scoreboard', () => {
  afterEach(reap);

  it('has a row per worker, with its pid, state, memory and processor time', async () => {
    const program = await startApp({ noWorkers: 2 });
    const { version, masterPid, rows } = readScoreboard(program.pid);
    assert.deepEqual([version, masterPid], [4, program.pid]);
    assert.deepEqual(rows.map(({ pid }) => pid).sort(), [...program.workers].sort());
    for (const row of rows) {
      assert.ok(row.tick > 0 && row.heapUsed > 1e6 && row.heapTotal > row.heapUsed && row.rss > 1e7, row);
      assert.ok(row.cpuUser > 0 && Math.abs(row.startedAt - Date.now()) < 60_000, row);
    }
    // What costs a worker time to find out may come a second later.
    await eventually(() => readScoreboard(program.pid).rows.every((row) => row.heapLimit > row.heapTotal));
  });

  it('counts connections and requests by status, aborted ones and durations included', async () => {
    const program = await startApp();
    for (const path of ['/', '/?secret', '/status?204', '/status?301', '/status?404', '/status?503']) {
      await request(program.port, { path });
    }
    const client = await connect(program.port);
    client.get('/never?secret');
    await untilRow(program, { requestsUnderWay: 1, connectionsOpen: 1 });
    client.close();
    const row = await untilRow(program, { requestsUnderWay: 0, connectionsOpen: 0 });
    assert.equal(row.connectionsTotal, 7);
    assert.equal(row.requestsTotal, 7);
    assert.deepEqual([row.status2xx, row.status3xx, row.status4xx, row.status5xx, row.aborted], [3, 1, 1, 1, 1]);
    assert.ok(row.requestMs > 0 && row.bytesRead > 300 && row.bytesWritten > 300, JSON.stringify(row));
    assert.deepEqual(row.requests.map(({ text }) => text),
      ['GET /', 'GET /', ...new Array(4).fill('GET /status'), 'GET /never']);
    assert.deepEqual(row.requests.map(({ status }) => status), [200, 200, 204, 301, 404, 503, 0]);
    assert.ok(row.requests.every(({ isUnderWay }) => !isUnderWay));
  });

  it('counts every request of a pipeline once', async () => {
    const program = await startApp();
    const client = await connect(program.port);
    client.get('/').get('/').get('/never').get('/');
    await untilRow(program, { status2xx: 2, requestsUnderWay: 2 });
    client.close();
    await untilRow(program, { requestsTotal: 4, requestsUnderWay: 0, aborted: 2 });
  });

  it('keeps a request that is under way, however many pass it', async () => {
    const program = await startApp();
    const slow = await connect(program.port);
    slow.get(`/never?${'q'.repeat(200)}`);
    await untilRow(program, { requestsUnderWay: 1 });
    const fast = await connect(program.port);
    for (let count = 0; count < 100; count += 1) fast.get('/status?200');
    const row = await untilRow(program, { status2xx: 100 });
    assert.deepEqual(row.requests.filter(({ isUnderWay }) => isUnderWay).map(({ text }) => text), ['GET /never']);
    assert.equal(row.requests.length, 64);
    for (const client of [slow, fast]) client.close();
  });

  it('counts https', async () => {
    const program = await startApp({}, { SERVER: 'https' });
    const asked = https.get({ host: '127.0.0.1', port: program.port, rejectUnauthorized: false, agent: false });
    const [response] = await once(asked, 'response');
    response.resume();
    await untilRow(program, { status2xx: 1, requestsTotal: 1, connectionsTotal: 1, connectionsOpen: 0 });
  });

  it('counts the streams of http2', async () => {
    const program = await startApp({}, { SERVER: 'http2' });
    const session = http2.connect(`http://127.0.0.1:${program.port}`);
    for (const path of ['/', '/status?404']) {
      const stream = session.request({ ':path': path });
      stream.resume();
      await once(stream, 'close');
    }
    session.request({ ':path': '/never' }).on('error', () => {});
    await untilRow(program, { requestsUnderWay: 1 });
    session.destroy();
    const row = await untilRow(program, { requestsUnderWay: 0, connectionsOpen: 0 });
    assert.deepEqual([row.requestsTotal, row.status2xx, row.status4xx, row.aborted], [3, 1, 1, 1]);
    assert.equal(row.connectionsTotal, 1);
  });

  it('counts connections of other protocols, and what they move', async () => {
    const program = await startApp({}, { SERVER: 'tcp' });
    const socket = net.connect(program.port, '127.0.0.1');
    socket.write('x'.repeat(1000));
    await once(socket, 'data');
    await untilRow(program, { connectionsOpen: 1, bytesRead: 1000, bytesWritten: 1000 });
    socket.destroy();
    await untilRow(program, { connectionsOpen: 0, connectionsTotal: 1, bytesRead: 1000, requestsTotal: 0 });
  });

  it('counts for a server that the application started by itself', async () => {
    const program = await startApp({}, { SERVER: 'own' });
    const { args: [port] } = await program.line('own');
    await request(port);
    await untilRow(program, { connectionsTotal: 1, status2xx: 1 });
  });

  it('counts connections that the idle timeout cut', async () => {
    const program = await startApp({ timeout: 50 });
    const client = await connect(program.port);
    await client.ended();
    await untilRow(program, { timedOutSockets: 1, connectionsOpen: 0 });
  });

  it('shows by the tick which event loop stands still', async () => {
    const program = await startApp({ noWorkers: 2 });
    const client = await connect(program.port);
    client.get('/block');
    const { pid } = await program.line('request');
    const tickOf = (which) => readScoreboard(program.pid).rows.find((row) => (row.pid === pid) === which).tick;
    const [stuck, before] = [tickOf(true), tickOf(false)];
    await eventually(() => tickOf(false) > before + 200);
    assert.equal(tickOf(true), stuck);
    client.close();
  });

  it('counts no requests with metrics: false, and records none with flightRecorder: false', async () => {
    const [plain, silent] = await Promise.all([startApp({ metrics: false }), startApp({ flightRecorder: false })]);
    for (const program of [plain, silent]) await request(program.port);
    const { requestsTotal, requests } = await untilRow(plain, { connectionsTotal: 1, connectionsOpen: 0 });
    assert.deepEqual([requestsTotal, requests], [0, []]);
    assert.deepEqual((await untilRow(silent, { status2xx: 1 })).requests, []);
  });

  it('is not inherited by programs that a worker starts', async () => {
    const program = await startApp();
    const { body } = await request(program.port, { path: '/child' });
    assert.match(body, /fd/);
    assert.doesNotMatch(body, /scoreboard/);
    assert.ok(!openFiles(program.workers[0]).some((name) => name.includes('scoreboard')));
  });

  it('gives the row of a dead worker to another one, empty', async () => {
    const program = await startApp();
    await request(program.port);
    await untilRow(program, { status2xx: 1 });
    process.kill(program.workers[0], 'SIGKILL');
    await program.lines('listening', 2);
    const { rows } = readScoreboard(program.pid);
    assert.deepEqual(rows.map(({ pid, status2xx }) => [pid === program.workers[0], status2xx]), [[false, 0]]);
  });
});
