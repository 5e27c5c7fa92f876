// Every server of a worker is looked after, handed over or not: its requests are answered when the worker leaves, and
// balancers get their answer on the application's ports.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http2 = require('node:http2');
const net = require('node:net');
const tls = require('node:tls');

const certificate = require('../support/certificate');
const { connect, died, freePort, inTime, ready, reap, refused, request, start } = require('../support');

const OPTIONS = { noWorkers: 1, keepAliveGrace: 50 };

// On a port that is named: a server that listens on port 0 in the same worker before the app would get the app's.
async function startServers(args, options) {
  const program = start('servers', { args, options: { ...OPTIONS, port: await freePort(), ...options } });
  return ready(program, 1);
}

const opened = async (program) => {
  const { args: [, address] } = await program.line('opened');
  return address.port;
};

function released(program) {
  process.kill(program.workers[0], 'SIGUSR2');
}

// Asks for `/hold`, lets the worker leave, and has the answer given then.
async function asksAndLeaves(program, connection, leave = () => process.kill(program.workers[0], 'SIGTERM')) {
  connection.get('/hold');
  await program.line('request');
  leave();
  await program.line('draining');
  released(program);
}

describe('a second server of a worker', () => {
  afterEach(reap);

  const kinds = ['a second server', 'a second server of its own port', 'a second server later', 'listens before'];
  for (const kind of kinds) {
    it(`is drained like the first: ${kind}`, async () => {
      const program = await startServers([kind]);
      const connection = await connect(await opened(program));
      await asksAndLeaves(program, connection);
      assert.match((await connection.until(/\r\n\r\nheld$/)).input, /connection: close/i);
      const facts = await died(program, program.workers[0]);
      assert.deepEqual([facts.code, facts.signal], [0, null]);
    });
  }

  it('is drained in a reload', async () => {
    const program = await startServers(['a second server']);
    const connection = await connect(await opened(program));
    await asksAndLeaves(program, connection, () => process.kill(program.pid, 'SIGUSR2'));
    await connection.until(/\r\n\r\nheld$/);
  });

  it('is drained in a process without workers', async () => {
    const options = { ...OPTIONS, port: await freePort(), cluster: false };
    const program = start('servers', { args: ['a second server later'], options });
    const connection = await connect(await opened(program));
    connection.get('/hold');
    await program.line('request');
    program.kill('SIGTERM');
    await refused(options.port);
    process.kill(program.pid, 'SIGUSR2');
    await connection.until(/\r\n\r\nheld$/);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
  });

  it('is drained where it speaks HTTP/2', async () => {
    const program = await startServers(['a second server of http2']);
    const session = http2.connect(`http://127.0.0.1:${await opened(program)}`);
    const stream = session.request({ ':path': '/hold' });
    const answer = stream.setEncoding('utf8').toArray();
    await program.line('request');
    process.kill(program.workers[0], 'SIGTERM');
    await inTime(once(session, 'goaway'), 'GOAWAY');
    released(program);
    assert.equal((await answer).join(''), 'held');
    assert.equal((await died(program, program.workers[0])).code, 0);
    const warnings = program.seen('warning').map(({ args: [{ message }] }) => message);
    assert.deepEqual(warnings.filter((message) => /lacks/.test(message)), []);
  });

  it('is drained where it never listens, and gets its connections from one that does', async () => {
    const program = await startServers(['sniffs']);
    const connection = await connect(program.port);
    await asksAndLeaves(program, connection);
    assert.match((await connection.until(/\r\n\r\nheld$/)).input, /connection: close/i);
    assert.equal((await died(program, program.workers[0])).code, 0);
  });

  it('that is to listen when the cluster ends already never opens, and costs no request', async () => {
    const program = await startServers(['a second server when it drains']);
    const connection = await connect(program.port);
    await asksAndLeaves(program, connection, () => program.kill('SIGTERM'));
    await connection.until(/\r\n\r\nheld$/);
    assert.equal((await died(program, program.workers[0])).code, 0);
    assert.deepEqual(await program.exit(), { code: 0, signal: null });
    assert.deepEqual([program.seen('opened'), program.seen('warning'), program.stderr], [[], [], '']);
  });

  it('holds the worker while a raw connection of its is open, and ends it at the deadline', async () => {
    const program = await startServers(['a second server of tcp'], { shutdownTimeout: 300 });
    const connection = await connect(await opened(program));
    await connection.send('one').until(/^one$/);
    program.kill('SIGTERM');
    await program.line('draining');
    await connection.send('two').until(/^onetwo$/);
    await connection.ended();
    const warning = await program.line(({ event, role }) => event === 'warning' && role === 'master');
    assert.match(warning.args[0].message, /1 tcp\b/);
  });

  it('that the app itself asks is open for as long as a request to the app is under way', async () => {
    const program = await startServers(['a server for itself']);
    const connection = await connect(program.port);
    await asksAndLeaves(program, connection);
    await connection.until(/from inside/);
    assert.equal((await died(program, program.workers[0])).code, 0);
  });

  it('answers nothing on the ECV path', async () => {
    const program = await startServers(['a second server']);
    assert.equal((await request(await opened(program), { path: '/ecv' })).body, 'second');
    assert.match((await request(program.port, { path: '/ecv' })).body, /^status=AVAILABLE/);
  });
});

describe('a worker that disconnects by itself', () => {
  afterEach(reap);

  // A request under way, and a connection that is kept for the next one.
  async function busyAndIdle(program, port) {
    const [busy, idle] = [await connect(port), await connect(port)];
    await idle.get('/').until(/app$|second$/);
    busy.get('/hold');
    await program.line(({ event, args }) => event === 'request' && args[1] === '/hold');
    return { busy, idle };
  }

  it('answers what is under way with a close, and closes what is idle after the grace', async () => {
    const program = await startServers(['no second server'], { noWorkers: 1 });
    const { busy, idle } = await busyAndIdle(program, program.port);
    await request(program.port, { path: '/disconnect', agent: false });
    await program.line('draining');
    await idle.ended({ within: 3000 });
    released(program);
    assert.match((await busy.until(/\r\n\r\nheld$/)).input, /connection: close/i);
    const facts = await died(program, program.workers[0]);
    assert.deepEqual([facts.code, facts.signal], [0, null]);
  });

  it('keeps a server of its own port, until it is told to go', async () => {
    const program = await startServers(['a second server of its own port'], { keepAliveGrace: 300 });
    const [pid] = program.workers;
    const port = await opened(program);
    const { busy, idle } = await busyAndIdle(program, port);
    await request(program.port, { path: '/disconnect', agent: false });
    await program.line('disconnected');
    assert.equal((await request(port, { agent: false })).body, 'second');
    process.kill(pid, 'SIGTERM');
    await idle.ended({ within: 3000 });
    released(program);
    assert.match((await busy.until(/\r\n\r\nheld$/)).input, /connection: close/i);
    const facts = await died(program, pid);
    assert.deepEqual([facts.code, facts.signal], [0, null]);
    assert.equal(program.seen('draining').length, 1);
  });
});

describe('an application that hands nothing over and listens by itself', () => {
  afterEach(reap);

  it("has its server on the application's port drained, with ECV, and cut when idle", async () => {
    const port = await freePort();
    const program = start('servers', { args: ['listens by itself'], options: { ...OPTIONS, port, timeout: 400 } });
    await program.line('opened');
    program.workers = [(await program.line('forked')).args[0]];
    assert.match((await request(port, { path: '/ecv' })).body, /^status=AVAILABLE/);
    const idle = await connect(port);
    await idle.ended({ within: 2000 });
    const connection = await connect(port);
    await asksAndLeaves(program, connection);
    assert.match((await connection.until(/\r\n\r\nheld$/)).input, /connection: close/i);
    assert.equal((await died(program, program.workers[0])).code, 0);
  });
});

describe('connections that the application gives to a server, which are no net.Socket', () => {
  afterEach(reap);

  const secured = (socket) => tls.connect({ socket, ca: certificate.cert, servername: 'localhost' });
  const http1 = async (program, socket) => {
    let received = '';
    socket.setEncoding('latin1').on('data', (text) => { received += text; });
    socket.write('GET /hold HTTP/1.1\r\nHost: x\r\n\r\n');
    await program.line('request');
    process.kill(program.workers[0], 'SIGTERM');
    await program.line('draining');
    released(program);
    await inTime(once(socket, 'close'), () => `end of the connection after ${received}`);
    assert.match(received, /connection: close[^]*held$/i);
  };
  const overHttp2 = (authority) => async (program, socket) => {
    const secure = authority.startsWith('https');
    const createConnection = () => (secure
      ? tls.connect({ socket, ca: certificate.cert, servername: 'localhost', ALPNProtocols: ['h2'] })
      : socket);
    const session = http2.connect(authority, { createConnection });
    const answer = session.request({ ':path': '/hold' }).setEncoding('utf8').toArray();
    await program.line('request');
    process.kill(program.workers[0], 'SIGTERM');
    await inTime(once(session, 'goaway'), 'GOAWAY');
    released(program);
    assert.equal((await answer).join(''), 'held');
  };
  const raw = async (program, socket) => {
    const next = () => inTime(once(socket, 'data'), 'echo');
    socket.write('one');
    assert.equal(String(await next()), 'one');
    process.kill(program.workers[0], 'SIGTERM');
    await program.line('draining');
    socket.write('two');
    assert.equal(String(await next()), 'two');
    socket.end();
  };
  const clients = {
    http: http1,
    https: (program, socket) => http1(program, secured(socket)),
    http2: overHttp2('http://localhost'),
    http2s: overHttp2('https://localhost'),
    net: raw,
    tls: (program, socket) => raw(program, secured(socket)),
  };
  for (const [protocol, ask] of Object.entries(clients)) {
    it(`are served and drained: ${protocol}`, async () => {
      const program = await startServers(['given connections', protocol]);
      const socket = net.connect(await opened(program), '127.0.0.1');
      try {
        await ask(program, socket);
        const facts = await died(program, program.workers[0]);
        assert.deepEqual([facts.code, facts.signal], [0, null]);
        assert.equal(program.stderr, '');
      } finally {
        socket.destroy();
      }
    });
  }
});
