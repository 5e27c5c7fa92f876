// Where a worker's servers listen when the script only names ports: on the options' host, whether Node looks that up or
// the master is asked for it, and with the same words to everybody.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');

const { eventually, freePort, ready, reap, request, start, startCluster } = require('../support');
const { removeDirectories, servingScript } = require('../support/script');
const { makeNetwork, requestWithin, whyNoNetwork } = require('../support/network');

const HOSTS = { '127.0.0.1': '127.0.0.1', '0.0.0.0': '0.0.0.0', 'localhost': undefined };

describe('a worker that listens on the host of the options', () => {
  afterEach(reap);

  for (const [host, shown] of Object.entries(HOSTS)) {
    it(`says so in the master and by itself: ${host}`, async () => {
      const program = start('listening', { options: { host, noWorkers: 2 } });
      const lines = await program.lines('address', 4);
      const told = lines.map(({ args: [address] }) => address);
      const ports = [...new Set(told.map(({ port }) => port))];
      assert.equal(ports.length, 2, 'two servers on port 0, each with its port');
      const { body } = await request(ports[0]);
      const [first, second] = JSON.parse(body);
      assert.deepEqual([first.port, second.port].sort(), ports.sort());
      for (const { address, addressType, ...rest } of told) {
        assert.equal(address, shown ?? address);
        assert.equal(first.address, address);
        assert.equal(addressType, net.isIP(address));
        assert.deepEqual(Object.keys(rest), ['port']);
      }
    });
  }

  for (const host of ['127.0.0.1', 'localhost']) {
    it(`says the address that is taken: ${host}`, async () => {
      const port = await freePort();
      const holder = net.createServer().listen(port, host === 'localhost' ? host : '0.0.0.0').unref();
      await eventually(() => holder.listening);
      const program = start('listening', { args: [String(port)], options: { host, noWorkers: 1 } });
      const { args: [error] } = await program.line('error');
      const { address } = holder.address();
      const where = `${host === 'localhost' ? address : host}:${port}`;
      assert.deepEqual(error, {
        message: `bind EADDRINUSE ${where}`, code: 'EADDRINUSE', address: where.slice(0, where.lastIndexOf(':')), port,
        stack: `Error: bind EADDRINUSE ${where}`,
      });
    });
  }

  it('asks Node where the master has another host', async () => {
    const options = { host: '127.0.0.1', noWorkers: 1 };
    const program = start('listening', { options, env: { TEST_HOST: '127.0.0.2' } });
    const lines = await program.lines('address', 2);
    assert.deepEqual(lines.map(({ args: [{ address }] }) => address), ['127.0.0.2', '127.0.0.2']);
  });
});

describe('an address that the worker which is left has closed', () => {
  afterEach(reap);
  after(removeDirectories);

  it('is given up when the other one was scaled away, so that clients are refused', async () => {
    const script = `
      const http = require('node:http');
      const answer = (request, response) => response.end(process.env.CLUSTER2_INSTANCE);
      http.createServer(answer).listen(0, '127.0.0.1');
      const admin = http.createServer(answer).listen(process.env.ADMIN, '127.0.0.1');
      process.on('SIGUSR1', () => process.env.CLUSTER2_INSTANCE === '0' && admin.close());
    `;
    const admin = await freePort();
    const args = ['--workers', '2', 'app.js'];
    const program = await servingScript({ 'app.js': script }, args, { env: { ADMIN: admin } });
    const answerers = async (port) => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => request(port)));
      return new Set(answers.map(({ body }) => body)).size;
    };
    await eventually(async () => await answerers(admin) === 2);
    for (const pid of program.processes().filter((pid) => pid !== program.pid)) process.kill(pid, 'SIGUSR1');
    await eventually(async () => await answerers(admin) === 1);
    program.kill('SIGTTOU');
    await eventually(() => request(admin, { within: 100 }).then(() => false, ({ code }) => code === 'ECONNREFUSED'));
    assert.equal((await request(program.port)).body, '0');
  });
});

if (!whyNoNetwork()) describe('an IPv6 address with a zone', () => {
  const LINK_LOCAL = 'fe80::1%lo';
  let network;
  before(() => { network = makeNetwork('ip address add fe80::1/64 dev lo nodad'); });
  after(() => network.remove());
  afterEach(reap);

  const monitor = { monHost: LINK_LOCAL, monPort: 3001 };

  for (const scheduling of ['slots', 'shared', 'rr']) {
    it(`serves, and is told as Node tells it (${scheduling})`, async () => {
      const options = { host: LINK_LOCAL, noWorkers: 2, scheduling };
      const program = start('listening', { options, node: network.node });
      const lines = await program.lines('address', 4);
      const ports = [...new Set(lines.map(({ args: [{ port }] }) => port))];
      for (const { args: [{ address }] } of lines) assert.equal(address, LINK_LOCAL);
      const { body } = await requestWithin(program.pid, { host: LINK_LOCAL, port: ports[0] });
      const shown = (port) => ({ address: LINK_LOCAL, family: 'IPv6', port });
      assert.deepEqual(JSON.parse(body).sort((one, other) => one.port - other.port), ports.sort().map(shown));
    });
  }

  it('is shown by addresses() and by the monitor, which listens on one too', async () => {
    const options = { host: LINK_LOCAL, noWorkers: 2, ...monitor };
    const program = await startCluster(options, { node: network.node });
    const [app] = program.addresses.app;
    assert.deepEqual([app.kind, app.address], ['tcp6', LINK_LOCAL]);
    assert.deepEqual(program.addresses.monitor, { address: LINK_LOCAL, port: monitor.monPort });
    const where = { host: LINK_LOCAL, port: monitor.monPort };
    const ask = async (path) => (await requestWithin(program.pid, { ...where, path })).body;
    assert.deepEqual(JSON.parse(await ask('/status.json')).addresses, [
      { address: LINK_LOCAL, family: 'IPv6', port: app.port },
    ]);
    assert.match(await ask('/'), new RegExp(`\\[${LINK_LOCAL}\\]:${app.port}`));
    assert.match(await ask('/metrics'), new RegExp(`listen_queue_connections\\{port="${app.port}"\\} 0`));
  });

  it('may be named by the number of its interface, and is asked for by the self-check', async () => {
    const options = { host: 'fe80::1%1', noWorkers: 1, ...monitor, monHost: '::1%lo' };
    const program = await startCluster(options, { node: network.node });
    assert.equal(program.addresses.monitor.address, '::1');
    const { status } = await requestWithin(program.pid, { host: LINK_LOCAL, port: program.port, path: '/ecv' });
    assert.equal(status, 200);
  });

  it('is asked for by the self-check over HTTP/2 too', async () => {
    const options = { host: LINK_LOCAL, noWorkers: 1 };
    const program = await ready(start('ecv', { options, node: network.node, args: ['http2s'] }), 1);
    const where = { scheme: 'https', host: LINK_LOCAL, port: program.port, path: '/ecv' };
    assert.equal((await requestWithin(program.pid, where)).status, 200);
  });

  it('shuts down without a warning', async () => {
    const program = await startCluster({ host: LINK_LOCAL, noWorkers: 2 }, { node: network.node });
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.deepEqual(program.seen('warning'), []);
  });
});
