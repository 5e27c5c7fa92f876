// HTTP/2 over TLS: some streams at a time on one session, until the server says goodbye.
'use strict';

const http2 = require('node:http2');
const net = require('node:net');
const tls = require('node:tls');
const { setTimeout: after } = require('node:timers/promises');

const { Failure } = require('../../support/wire');

/** Streams on one session. */
module.exports = async function dialogue(client) {
  const session = await client.open((record) => open(client, record));
  if (!session) return;
  for (let left = client.random.whole(1, 20); left > 0 && isOpen(session) && !client.isStopping; left -= 1) {
    const streams = Array.from({ length: client.random.whole(1, 4) }, () => ask(client, session));
    await Promise.all(streams);
    await after(client.random.between(0, 200));
  }
  session.destroy();
};

// The socket comes first, for its port.
async function open({ where, within }, record) {
  const socket = net.connect(where);
  socket.on('connect', () => { record.port = socket.localPort; });
  const secure = tls.connect({ socket, ALPNProtocols: ['h2'], servername: 'localhost', rejectUnauthorized: false });
  const session = http2.connect('https://localhost', { createConnection: () => secure });
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Failure('timedOut', 'no session')), within);
    const settle = (done) => (result) => {
      clearTimeout(timer);
      done(result);
    };
    session.once('remoteSettings', settle(resolve)).on('error', settle(reject));
    socket.on('error', settle(reject));
    session.once('close', settle(() => reject(new Failure('reset', 'closed before the settings'))));
  }).catch((error) => {
    session.destroy();
    socket.destroy();
    throw error;
  });
  return session;
}

function isOpen(session) {
  return !session.closed && !session.destroyed;
}

function ask(client, session) {
  const id = client.number();
  const bytes = client.random.whole(0, client.random.chance(0.1) ? 1e5 : 100);
  const ms = client.random.chance(0.2) ? client.random.whole(1, 150) : 0;
  const path = `/answer?id=${id}&bytes=${bytes}&ms=${ms}`;
  let stream;
  try {
    stream = session.request({ ':path': path });
  } catch {
    // A goodbye came just now: nothing was sent.
    return undefined;
  }
  return client.judge(session.record, `GET ${path}`, async () => {
    const { status, body } = await read(stream, session.record, client.within);
    const expected = `${session.record.pid} ${id} ${'x'.repeat(bytes)}`;
    if (status !== 200 || body !== expected) {
      throw new Failure('wrong', `${status} ${body.slice(0, 80)} (${body.length}) for ${expected.slice(0, 40)}`);
    }
  });
}

function read(stream, record, within) {
  return new Promise((resolve, reject) => {
    let status;
    let body = '';
    let length = 0;
    stream.setEncoding('utf8').setTimeout(within, () => {
      reject(new Failure('timedOut', 'no answer'));
      stream.close();
    });
    stream.on('response', (headers) => {
      status = headers[':status'];
      length = Number(headers['content-length']);
      record.pid ??= Number(headers['x-pid']);
    });
    stream.on('data', (part) => { body += part; });
    stream.on('error', (error) => reject(status === undefined ? error : new Failure('shortBody', error.message)));
    stream.on('close', () => {
      if (status === undefined) reject(new Failure('reset', `stream closed, ${stream.rstCode}`));
      else if (body.length < length) reject(new Failure('shortBody', `${body.length} bytes`));
      else resolve({ status, body });
    });
  });
}
