// Where a worker's servers listen when the script only names ports: on the options' host, whether Node looks that up or
// the master is asked for it, and with the same words to everybody.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');

const { eventually, freePort, reap, request, start } = require('./support');

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
