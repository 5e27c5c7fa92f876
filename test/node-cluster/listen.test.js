// Everything on which a Node cluster worker can listen, by itself, in workers that this package forked: the outcome
// is that of Node's own cluster, and every worker serves.
'use strict';

const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const fs = require('node:fs');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const tls = require('node:tls');

const {
  start, reap, request, connect, freePort, isRefused, eventually, inTime, makeDirectory,
} = require('../support');

const HOST = '127.0.0.1';
const WORKERS = 2;
const hasIpv6 = Object.values(os.networkInterfaces()).flat().some(({ address }) => address === '::1');
// Node 18 takes an abstract name for an empty path, and Node 20 fills it up with zero bytes, when it connects as
// well.
const hasAbstractNames = parseInt(process.versions.node, 10) >= 22;

const HTTP = ['http', 'nothing said', 'port only', 'host 0.0.0.0', 'host 127.0.0.1', 'host localhost', 'backlog 0',
  'backlog 1', 'fixed port', 'path', 'path for all', 'relative path', 'fd'];
const HTTP6 = ['host ::', 'host ::1', 'ipv6Only'];
const OTHER = ['https', 'http2', 'h2c', 'net'];
const ABSTRACT = hasAbstractNames ? ['abstract path'] : [];
const UDP = ['udp4', 'udp4 port only', ...(hasIpv6 ? ['udp6'] : [])];
const SHARED = [...HTTP, ...(hasIpv6 ? HTTP6 : []), ...OTHER, ...ABSTRACT, ...UDP];
const OWN = ['exclusive', 'udp4 exclusive'];
const REFUSED = ['port taken', 'path taken', 'path in no directory', 'foreign address', 'udp port taken'];

// Programs that listen in all ways at once, in workers forked by each kind of master.
for (const master of ['raw', 'agent']) {
  describe(`workers that listen by themselves (${master})`, function () {
    this.timeout(60000);
    let ours;
    let theirs;
    let taken;

    before(async () => {
      taken = await takeAddresses();
      ours = await listenInAllWays(master, taken);
      theirs = await listenInAllWays('node', taken);
    });

    after(async function () {
      await reap.call(this);
      taken?.release();
    });

    for (const way of [...SHARED, ...OWN]) {
      it(`bind "${way}" as under Node's cluster, each worker the same`, () => {
        const [first, second] = outcomesOf(ours, way);
        assert.equal(first.event, 'bound', JSON.stringify(first.args));
        assert.deepEqual(shapeOf(first), shapeOf(outcomesOf(theirs, way)[0]));
        if (OWN.includes(way)) assert.notEqual(first.args[1].port, second.args[1].port);
        else assert.deepEqual(first.args, second.args);
      });
    }

    for (const way of REFUSED) {
      it(`get the error for "${way}" that they would get under Node's cluster`, () => {
        const outcomes = outcomesOf(ours, way);
        for (const outcome of outcomes) {
          assert.equal(outcome.event, 'refused');
          assert.deepEqual(outcome.args, outcomesOf(theirs, way)[0].args);
        }
      });
    }

    // Root may bind any port; for the others the same error comes from a folder that may not be written to.
    if (process.getuid() !== 0 && lowestPort() > 1) it('get EACCES for a port of the privileged', async () => {
      const program = await listenIn(['port of the privileged'], { master });
      assert.equal(outcomesOf(program, 'port of the privileged')[0].args[1].code, 'EACCES');
    });

    it('get different ports for different servers that ask for any', () => {
      const ports = ['http', 'net', 'port only', 'host 127.0.0.1', 'backlog 0'].map((way) => portOf(ours, way));
      assert.equal(new Set(ports).size, ports.length);
    });

    for (const way of [...HTTP, ...(hasIpv6 ? HTTP6 : []), ...ABSTRACT]) {
      it(`serve "${way}", all of them`, () => servedByAll(ours, () => request(...whereOf(ours, way))));
    }

    it('serve https, all of them', () => servedByAll(ours, () => request(portOf(ours, 'https'), {
      // An agent would make the connection itself, without TLS.
      agent: undefined,
      createConnection: ({ host, port }) => tls.connect({ host, port, rejectUnauthorized: false }),
    })));

    it('serve http2 with and without TLS, all of them', async () => {
      for (const way of ['http2', 'h2c']) {
        const url = `http${way === 'http2' ? 's' : ''}://${HOST}:${portOf(ours, way)}`;
        await servedByAll(ours, () => requestHttp2(url));
      }
    });

    it('serve raw TCP, all of them', () => servedByAll(ours, async () => {
      const connection = await connect(portOf(ours, 'net'));
      await connection.ended();
      return { body: connection.received };
    }));

    it('serve exclusive ports, each its own', async () => {
      for (const { pid, args: [, { port }] } of outcomesOf(ours, 'exclusive')) {
        assert.equal((await request(port)).body, String(pid));
      }
    });

    if (hasIpv6) it('let nobody in by IPv4 with ipv6Only', async () => {
      assert.equal(await isRefused(portOf(ours, 'ipv6Only')), true);
    });

    it('open a path to all only when told to', () => {
      // Whether it may be run means nothing, and differs from one libuv to another.
      const modeOf = (program, name) => fs.statSync(path.join(program.cwd, name)).mode & 0o666;
      for (const name of ['plain.sock', 'all.sock']) assert.equal(modeOf(ours, name), modeOf(theirs, name), name);
      assert.equal(modeOf(ours, 'all.sock'), 0o666);
    });

    for (const way of UDP) {
      it(`get each datagram once over "${way}", and can answer`, async () => {
        const type = way.slice(0, 4);
        const count = 100;
        const client = dgram.createSocket(type);
        const answers = [];
        client.on('message', (message) => answers.push(Number(message)));
        const tag = `${way} ${count} `;
        for (let i = 0; i < count; i += 1) {
          client.send(`${tag}${i}`, portOf(ours, way), type === 'udp4' ? HOST : '::1');
        }
        const isOurs = ({ event, args }) => event === 'datagram' && args[1].startsWith(tag);
        await ours.lines(isOurs, count);
        await eventually(() => answers.length === count, { what: 'answers to all datagrams' });
        client.close();
        const payloads = ours.seen(isOurs).map(({ args: [, payload] }) => payload);
        assert.equal(new Set(payloads).size, count);
        assert.equal(payloads.length, count);
        for (const pid of answers) assert.ok(pidsOf(ours).includes(pid));
      });
    }

    it('resume a TLS session that another one began', async () => {
      const port = portOf(ours, 'https');
      const first = await tlsRequest(port);
      await eventually(async () => {
        const next = await tlsRequest(port, first.session);
        assert.equal(next.isReused, true, 'the session was not resumed');
        return next.pid !== first.pid;
      });
    });
  });

  describe(`workers that close what they listen on (${master})`, function () {
    this.timeout(30000);
    afterEach(reap);

    it('leave the port to the others, and the last one closes it', async () => {
      const program = await listenIn(['http'], { master });
      const port = portOf(program, 'http');
      const { body: first } = await request(port, { path: '/close' });
      await program.line('closed');
      for (let i = 0; i < 10; i += 1) assert.notEqual((await request(port)).body, first);
      await request(port, { path: '/close' });
      await program.line('closed');
      await eventually(() => isRefused(port), { what: 'the port to be closed' });
      assert.equal(program.isRunning, true);
    });

    it('leave a path to the others, and the last one closes it', async () => {
      const program = await listenIn(['path'], { master });
      const file = path.join(program.cwd, 'plain.sock');
      for (let i = 0; i < WORKERS; i += 1) {
        await request(file, { path: '/close' });
        await program.line('closed');
      }
      await eventually(() => isRefused(file), { what: 'the path to be closed' });
    });

    it('can listen again where they did', async () => {
      const program = await listenIn(['fixed port'], { master });
      const port = portOf(program, 'fixed port');
      for (let i = 0; i < 2 * WORKERS; i += 1) {
        await request(port, { path: '/again' });
        assert.deepEqual((await program.line('again')).args, []);
      }
      await servedByAll(program, () => request(port));
    });

    it('can listen again where the last one of them had closed', async () => {
      const program = await listenIn(['fixed port'], { master, noWorkers: 1 });
      const port = portOf(program, 'fixed port');
      for (let i = 0; i < 3; i += 1) {
        await request(port, { path: '/again' });
        assert.deepEqual((await program.line('again')).args, []);
        assert.equal((await request(port)).status, 200);
      }
    });
  });
}

describe('a path that is too long but for the directory they run in', () => {
  let deep;

  before(() => {
    deep = path.join(makeDirectory(), 'deep'.repeat(40));
    fs.mkdirSync(deep);
  });

  after(async function () {
    await reap.call(this);
    fs.rmSync(path.dirname(deep), { recursive: true, force: true });
  });

  for (const master of ['raw', 'agent']) {
    it(`can be listened on by workers (${master})`, async () => {
      const program = await listenIn(['relative path'], { master, cwd: deep });
      const [{ event, args }] = outcomesOf(program, 'relative path');
      assert.equal(event, 'bound', JSON.stringify(args));
      assert.equal(fs.statSync(path.join(deep, 'relative.sock')).isSocket(), true);
      await program.end();
      fs.rmSync(path.join(deep, 'relative.sock'), { force: true });
    });
  }
});

async function listenInAllWays(master, taken) {
  const ways = [...SHARED, ...OWN, ...REFUSED];
  return listenIn(ways, { master, env: taken.env });
}

async function listenIn(ways, { master, noWorkers = WORKERS, env = {}, cwd }) {
  const program = start('node-listen', {
    options: { noWorkers },
    args: ways,
    cwd,
    env: { CLUSTER2_TEST_MASTER: master, FIXED_PORT: String(await freePort()), ...env },
  });
  await program.lines('done', noWorkers);
  return program;
}

// A port for TCP and UDP and a path, held by this very process.
async function takeAddresses() {
  const directory = makeDirectory();
  const file = path.join(directory, 'taken.sock');
  const server = net.createServer();
  const pathServer = net.createServer();
  const socket = dgram.createSocket('udp4');
  await new Promise((resolve) => server.listen(0, HOST, resolve));
  const { port } = server.address();
  await new Promise((resolve) => pathServer.listen(file, resolve));
  await new Promise((resolve, reject) => socket.once('error', reject).bind(port, HOST, resolve));
  return {
    env: { TAKEN_PORT: String(port), TAKEN_PATH: file },
    release() {
      server.close();
      pathServer.close();
      socket.close();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

function outcomesOf(program, way) {
  const outcomes = program.seen(({ event, args }) => ['bound', 'refused'].includes(event) && args[0] === way);
  assert.ok(outcomes.length > 0, `nothing was said of ${way}`);
  return outcomes;
}

// What may differ between two programs is left out.
function shapeOf({ args: [, address] }) {
  if (typeof address !== 'object') return address.startsWith('\0') ? 'abstract' : path.basename(address);
  const { port, ...rest } = address;
  return { ...rest, hasPort: port > 0 };
}

function portOf(program, way) {
  const { event, args: [, address] } = outcomesOf(program, way)[0];
  assert.equal(event, 'bound', `${way}: ${JSON.stringify(address)}`);
  return address.port;
}

function whereOf(program, way) {
  const address = outcomesOf(program, way)[0].args[1];
  if (typeof address === 'string') return [address.startsWith('\0') ? address : path.resolve(program.cwd, address)];
  const host = { '::': '::1', '0.0.0.0': HOST }[address.address] ?? address.address;
  return [address.port, { host }];
}

function pidsOf(program) {
  return [...new Set(program.seen('done').map(({ pid }) => pid))];
}

// Asks until every worker has answered; connections are new each time, so each has its chance.
async function servedByAll(program, ask) {
  const left = new Set(pidsOf(program).map(String));
  await eventually(async () => {
    const { body } = await ask();
    assert.ok(pidsOf(program).includes(Number(body)), `answered by ${JSON.stringify(body)}`);
    left.delete(body);
    return left.size === 0;
  }, { what: () => `answers of ${[...left]}` });
}

async function requestHttp2(url) {
  const session = http2.connect(url, { rejectUnauthorized: false });
  try {
    const stream = session.request({ ':path': '/' });
    let body = '';
    stream.setEncoding('utf8').on('data', (text) => { body += text; });
    await inTime(new Promise((resolve, reject) => {
      session.on('error', reject);
      stream.on('error', reject).on('end', resolve);
    }), `answer of ${url}`);
    return { body };
  } finally {
    session.destroy();
  }
}

// TLS 1.2, because its client has the ticket when the handshake is over.
function tlsRequest(port, session) {
  return inTime(new Promise((resolve, reject) => {
    const client = https.get({
      host: HOST, port, agent: false, rejectUnauthorized: false, maxVersion: 'TLSv1.2', session,
    }, (response) => {
      const isReused = response.socket.isSessionReused();
      const ticket = response.socket.getSession();
      let body = '';
      response.on('data', (text) => { body += text; });
      response.on('end', () => resolve({ pid: body, isReused, session: ticket }));
    });
    client.on('error', reject);
  }), 'answer over TLS');
}

function lowestPort() {
  return Number(fs.readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'latin1'));
}
