// HTTP/1.1 on raw connections, over TCP, TLS or a unix path: short and kept connections, pipelines, uploads.
//
// A short client may send its request in two parts. None says early that it sends no more: Node would then cut the
// answer by itself.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

const { Wire, Failure } = require('../../support/wire');

// Shorter than any grace that idle connections have: see `keepAliveGrace`.
const THINK_MS = 200;
const CHUNK = 'u'.repeat(4096);

/** One request on a connection of its own. */
async function short(client) {
  const wire = await open(client);
  if (!wire) return;
  const { text, expected } = get(client, 'Connection: close\r\n');
  const half = client.random.chance(0.1) ? client.random.whole(1, text.length - 1) : text.length;
  await answered(client, wire, text, async () => {
    if (half < text.length) {
      wire.send(text.slice(0, half));
      await after(client.random.between(1, THINK_MS));
    }
    check(await wire.ask(half < text.length ? text.slice(half) : text, client.within), expected, wire);
  });
  wire.close();
}

/** Requests one after the other, as long as the server lets the connection be. */
async function kept(client) {
  const wire = await open(client);
  if (!wire) return;
  for (let left = client.random.whole(2, 60); left > 0 && wire.isOpen && !client.isStopping; left -= 1) {
    const { text, expected } = get(client);
    const isRight = await answered(client, wire, text, async () => {
      check(await wire.ask(text, client.within), expected, wire);
    });
    if (!isRight) break;
    await after(client.random.between(0, THINK_MS));
  }
  wire.close();
}

/** Requests that are sent together. */
async function pipelined(client) {
  const wire = await open(client);
  if (!wire) return;
  for (let left = 10; left > 0 && wire.isOpen && !client.isStopping; left -= 1) {
    const asked = Array.from({ length: client.random.whole(2, 6) }, () => get(client));
    const text = asked.map((one) => one.text).join('');
    const isRight = await answered(client, wire, `${asked.length} times ${asked[0].text}`, async () => {
      const answers = await wire.askAll(text, asked.length, client.within);
      answers.forEach((answer, at) => check(answer, asked[at].expected, wire));
    });
    if (!isRight) break;
    await after(client.random.between(0, THINK_MS));
  }
  wire.close();
}

/** A body in chunks, some of them after a pause. */
async function upload(client) {
  const wire = await open(client);
  if (!wire) return;
  const id = client.number();
  const chunks = client.random.whole(1, 30);
  const head = `POST /upload?id=${id} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
  await answered(client, wire, head, async () => {
    const answer = wire.ask(head, client.within);
    answer.catch(() => {});
    for (let sent = 0; sent < chunks && wire.isOpen; sent += 1) {
      wire.send(`${CHUNK.length.toString(16)}\r\n${CHUNK}\r\n`);
      if (client.random.chance(0.2)) await after(client.random.between(1, 20));
    }
    wire.send('0\r\n\r\n');
    check(await answer, `${id} ${chunks * CHUNK.length}`, wire);
  });
  wire.close();
}

module.exports = { short, kept, pipelined, upload };

function open(client) {
  return client.open(() => Wire.open(client.where, client.within));
}

function get(client, headers = '') {
  const id = client.number();
  const bytes = client.random.chance(0.1) ? client.random.whole(1e4, 2e5) : client.random.whole(0, 100);
  const ms = client.random.chance(0.2) ? client.random.whole(1, 150) : 0;
  const text = `GET /answer?id=${id}&bytes=${bytes}&ms=${ms} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
  return { text, expected: `${id} ${'x'.repeat(bytes)}` };
}

// Part of an answer tells the worker, too.
function answered(client, wire, text, deed) {
  return client.judge(wire.record, text.split(' HTTP')[0], async () => {
    try {
      await deed();
    } catch (error) {
      const [, pid] = /^x-pid: (\d+)\r$/m.exec(wire.received) ?? [];
      if (pid) wire.record.pid = Number(pid);
      // An error of the socket amid an answer.
      throw pid && error.code ? new Failure('shortBody', error.message) : error;
    }
  });
}

function check({ status, body }, expected, wire) {
  const [, pid, rest] = /^(\d+) ([^]*)$/.exec(body) ?? [];
  if (status !== 200 || rest !== expected) {
    throw new Failure('wrong', `${status} ${body.slice(0, 80)} (${body.length}) for ${expected.slice(0, 40)}`);
  }
  wire.record.pid ??= Number(pid);
  if (wire.record.pid !== Number(pid)) throw new Failure('wrong', `another worker ${pid}`);
}
