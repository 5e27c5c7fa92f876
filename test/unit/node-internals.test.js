// What lib/shared/node-internals.js reads and sets inside Node, one test for each; `npm test` runs them on every Node.
'use strict';

const assert = require('node:assert/strict');
const { fork, spawnSync } = require('node:child_process');
const dgram = require('node:dgram');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');
const tls = require('node:tls');

const internals = require('../../lib/shared/node-internals');
const { eventually } = require('../support');
const { wrapped } = require('../support/wrapped');
const { cert, cleanUp, connect, key, listen, opened, received } = require('../support/in-process');

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

describe('what is known of the inside of this Node', () => {
  const missing = [];

  before(() => internals.onMissing((message) => missing.push(message)));
  afterEach(cleanUp);
  after(() => internals.onMissing(undefined));
  afterEach('and nothing was missing', () => assert.deepEqual(missing, []));

  async function serve(handler, Server = http.Server) {
    const server = new Server(handler);
    const socket = await connect(await listen(server));
    return { server, socket };
  }

  // A server with a request under way.
  async function ask(text = GET) {
    const { server, socket } = await serve();
    socket.write(text);
    const [request, response] = await once(server, 'request');
    return { server, socket, request, response };
  }

  it('onListen tells of each server before it listens', async () => {
    const seen = [];
    internals.onListen((server) => seen.push([server, server.listening]));
    const server = new net.Server();
    await listen(server);
    assert.deepEqual(seen, [[server, false]]);
  });

  it('serverOf gives who accepted a connection, or was given it', async () => {
    const server = new net.Server();
    const accepting = once(server, 'connection');
    await connect(await listen(server));
    const [socket] = await accepting;
    assert.equal(internals.serverOf(socket), server);
    const other = new http.Server();
    other.emit('connection', socket);
    assert.equal(internals.serverOf(socket), other);
  });

  it('below gives the socket under TLS, and the stream that was given to a TLS server', async () => {
    const server = tls.createServer({ key, cert });
    for (const wrap of [(socket) => socket, wrapped]) {
      let lower;
      const front = net.createServer((socket) => {
        lower = wrap(socket);
        server.emit('connection', lower);
      });
      const securing = once(server, 'secureConnection');
      await connect(await listen(front), { secure: true });
      const [socket] = await securing;
      assert.equal(internals.below(socket), lower);
      socket.destroy();
    }
  });

  it('answerOn, requestOn and speaksHttp1 tell of an HTTP/1 connection', async () => {
    const { request, response } = await ask('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na');
    const { socket } = request;
    assert.equal(internals.answerOn(socket), response);
    assert.equal(internals.requestOn(socket), request);
    assert.equal(internals.speaksHttp1(socket), true);
    response.end();
    await once(response, 'close');
    assert.equal(internals.answerOn(socket), undefined);
    assert.equal(internals.speaksHttp1(new net.Socket()), false);
    assert.equal(internals.requestOn(new net.Socket()), undefined);
  });

  it('receiving gives the connections on which a message has begun and not ended', async () => {
    const { server, socket } = await serve((request, response) => response.end('done'));
    const accepted = once(server, 'connection');
    const other = await connect(server.address().port);
    await accepted;
    for (const each of [socket, other]) each.write(GET);
    for (const each of [socket, other]) await received(each, /done/);
    assert.deepEqual(internals.receiving(server), []);
    other.write(GET.slice(0, 9));
    await eventually(() => internals.receiving(server).length === 1);
    assert.equal(internals.receiving(server)[0].remotePort, other.localPort);
  });

  it('openStreams counts the streams of an HTTP/2 session', async () => {
    const server = http2.createServer();
    const opening = once(server, 'session');
    const client = http2.connect(`http://127.0.0.1:${await listen(server)}`);
    opened.add(client);
    const [session] = await opening;
    assert.equal(internals.openStreams(session), 0);
    client.request({ ':path': '/' });
    const [stream] = await once(server, 'stream');
    assert.equal(internals.openStreams(session), 1);
    stream.respond({}, { endStream: true });
    await once(stream, 'close');
    assert.equal(internals.openStreams(session), 0);
  });

  it('onHeaders may change the headers of each answer, however it is given', async () => {
    const ways = {
      implicit: (response) => response.end('1'),
      'an object': (response) => response.writeHead(200, { 'x-own': 'yes' }).end('1'),
      flushed: (response) => {
        response.flushHeaders();
        response.end('1');
      },
    };
    const changed = [];
    internals.onHeaders((response, headers) => {
      if (response.isOurs) changed.push(headers);
      return response.isOurs && headers ? { ...headers, 'x-own': 'changed' } : headers;
    });
    for (const [name, answer] of Object.entries(ways)) {
      const { socket, response } = await ask();
      response.isOurs = true;
      answer(response);
      await received(socket, /\r\n\r\n/);
      if (name === 'an object') assert.match(socket.received, /x-own: changed/);
    }
    assert.equal(changed.length, 3);
  });

  it('leaveOpen has a connection outlive an answer that says close', async () => {
    const { socket, response } = await ask();
    response.shouldKeepAlive = false;
    response.flushHeaders();
    internals.leaveOpen(response);
    response.end();
    await received(socket, /connection: close/i);
    assert.equal(response.req.socket.writable, true);
  });

  it('advise puts the header Keep-Alive into an answer that has none', async () => {
    const server = http.createServer({ keepAliveTimeout: 0 });
    const socket = await connect(await listen(server));
    socket.write(GET);
    const [, response] = await once(server, 'request');
    internals.advise(response, 7000);
    response.end();
    assert.match(await received(socket, /\r\n\r\n/), /keep-alive: timeout=7\r\n/i);
  });

  it('replaceAccept sees each connection before there is a socket, on what the master lent only', async () => {
    const server = new net.Server();
    const port = await listen(server);
    internals.replaceAccept(server, () => assert.fail('not lent'));
    // What Node's cluster module does to a handle that the master lent.
    const handle = server._handle;
    const { close } = handle;
    handle.close = () => close.call(handle);
    const clients = [];
    internals.replaceAccept(server, (accept) => (status, client) => {
      clients.push(client);
      accept(status, client);
    });
    const accepting = once(server, 'connection');
    await connect(port);
    await accepting;
    assert.equal(typeof clients[0].close, 'function');
  });

  it('acceptAlso, handleOf and onClose have a server accept from the socket of another, until it closes', async () => {
    const [server, lender] = [new net.Server(), new net.Server()];
    assert.equal(internals.handleOf(server), undefined);
    await listen(server);
    const port = await listen(lender);
    const taken = [];
    const own = internals.handleOf(server);
    const other = internals.handleOf(lender);
    internals.acceptAlso(own, other, { backlog: 511, onTaken: () => taken.push(port) });
    const accepting = once(server, 'connection');
    await connect(port);
    const [socket] = await accepting;
    assert.equal(internals.serverOf(socket), server);
    assert.deepEqual(taken, [port]);
    const closed = [];
    internals.onClose(own, () => closed.push(server.listening));
    server.close();
    assert.equal(closed.length, 1);
  });

  it('passOn has another server count a connection', async () => {
    const from = new net.Server();
    const to = new net.Server();
    const accepting = once(from, 'connection');
    const client = await connect(await listen(from));
    const [socket] = await accepting;
    internals.passOn(socket, from, to);
    assert.deepEqual([internals.countOf(from), internals.countOf(to), internals.serverOf(socket)], [0, 1, to]);
    client.destroy();
    await once(to, 'close');
    assert.equal(internals.countOf(to), 0);
  });

  it('descriptorOf gives what to duplicate, and letGo leaves a connection to its duplicate', async () => {
    const server = new net.Server();
    const accepting = once(server, 'connection');
    const client = await connect(await listen(server));
    const [socket] = await accepting;
    const fd = internals.descriptorOf(socket);
    assert.ok(internals.descriptorOf(server) > 2 && fd > 2);
    const udp = dgram.createSocket('udp4');
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    assert.ok(internals.descriptorOf(udp) > 2);
    await new Promise((resolve) => udp.close(resolve));
    internals.letGo(socket);
    assert.equal(internals.descriptorOf(socket), undefined);
    assert.equal(internals.countOf(server), 0);
    await once(client, 'close');
  });

  it('exitUnheard and runMain end a process, and make a script the main module', () => {
    const file = require.resolve('../apps/runs-main.js');
    const { status, stdout } = spawnSync(process.execPath, [file, 'a'], { encoding: 'utf8' });
    assert.equal(status, 7);
    assert.equal(stdout, `main: ${file} a\n`);
  });

  it('watchLoans tells whether a worker waits for a socket of its master', async () => {
    const worker = fork(require.resolve('../apps/loans.js'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const [answers] = await once(worker, 'message');
    assert.deepEqual(answers, { tcp: [false, true, false], udp: [false, true, false], busy: [false, true, false] });
    await once(worker, 'exit');
  });

  it('interceptSignals and onClusterMessage hear what others do not', async () => {
    const child = fork(require.resolve('../apps/internals.js'), { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const heard = [];
    child.on('message', (message) => heard.push(message));
    const said = async () => {
      await eventually(() => heard.length > 0);
      return heard.shift();
    };
    assert.equal(await said(), 'ready');
    child.send({ cmd: 'NODE_CLUSTER2', act: 'greet' });
    assert.deepEqual([await said(), await said()], ['first: greet', 'second: greet']);
    child.kill('SIGTERM');
    assert.deepEqual([await said(), await said()], ['held: SIGTERM', 'hidden: SIGTERM']);
    child.kill('SIGTERM');
    assert.deepEqual([await said(), await said()], ['heard: SIGTERM 15', 'hidden: SIGTERM']);
    child.disconnect();
    await once(child, 'exit');
  });
});
