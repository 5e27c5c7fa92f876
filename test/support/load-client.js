// A process full of clients of one kind, started by test/support/load.js: asks until told to stop, and counts.
//
// Every request ends in exactly one counter. Clients do what well-behaved ones do: who is told to close opens a
// new connection, who finds its idle connection closed before it has sent anything does so too, who loses a
// stream of events resumes it. Nothing is ever sent twice. The counters go to the parent over the channel.
'use strict';

const http2 = require('node:http2');
const { setTimeout: after } = require('node:timers/promises');

const { WebSocket } = require('ws');

const { Wire, Failure } = require('./wire');

const TIMEOUT_MS = 10_000;
const THINK_MS = 20;
const BATCH = 10;
const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const GET_AND_CLOSE = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

const [kind, clients, where] = JSON.parse(process.argv[2]);
const counters = { ok: 0, reset: 0, refused: 0, timedOut: 0, badStatus: 0, shortBody: 0 };
let isStopping = false;
// The longest time for which these clients could not act: a machine that is too busy looks like lost requests.
let stalledMs = 0;

function count(error) {
  counters[error ? kindOf(error) : 'ok'] += 1;
  if (error && process.env.CLUSTER2_LOAD_TRACE) process.stderr.write(`${kind}: ${error.stack ?? error}\n`);
}

function kindOf(error) {
  if (error instanceof Failure) return error.kind;
  if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') return 'refused';
  return 'reset';
}

// One request, or one batch; its outcome is counted and never thrown.
async function counted(deed, times = 1) {
  try {
    const result = await deed();
    for (let at = 0; at < times; at += 1) count();
    return result;
  } catch (error) {
    count(error);
    return undefined;
  }
}

async function ask(wire, text, body = 'hello') {
  const answer = await wire.ask(text, TIMEOUT_MS);
  if (answer.status !== 200) throw new Failure('badStatus', `status ${answer.status}`);
  if (answer.body !== body) throw new Failure('shortBody', `${answer.body.length} bytes`);
  return answer;
}

// A connection that is used again as long as the server lets it.
async function onOneConnection(deed) {
  let wire;
  while (!isStopping) {
    if (!wire?.isOpen) wire = await counted(() => Wire.open(where, TIMEOUT_MS), 0);
    if (!wire) continue;
    await deed(wire);
  }
  wire?.close();
}

const kinds = {
  async short() {
    while (!isStopping) {
      await counted(async () => {
        const wire = await Wire.open(where, TIMEOUT_MS);
        try {
          await ask(wire, GET_AND_CLOSE);
        } finally {
          wire.close();
        }
      });
    }
  },

  keepAlive: () => onOneConnection((wire) => counted(() => ask(wire, GET))),

  thinking: () => onOneConnection(async (wire) => {
    await counted(() => ask(wire, GET));
    await after(THINK_MS);
  }),

  pipelined: () => onOneConnection((wire) => counted(async () => {
    const answers = wire.askAll(GET.repeat(BATCH), BATCH, TIMEOUT_MS);
    for (const { status, body } of await answers) {
      if (status !== 200) throw new Failure('badStatus', `status ${status}`);
      if (body !== 'hello') throw new Failure('shortBody', body);
    }
  }, BATCH)),

  // 16 KB to 1 MB, in chunks, some of them after a pause.
  upload: () => onOneConnection((wire) => counted(async () => {
    const size = 16384 * 2 ** Math.floor(Math.random() * 7);
    const answer = ask(wire, 'POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', String(size));
    answer.catch(() => {});
    for (let sent = 0; sent < size && wire.isOpen; sent += 16384) {
      wire.send(`4000\r\n${'u'.repeat(16384)}\r\n`);
      if (sent % 65536 === 0) await after(1);
    }
    wire.send('0\r\n\r\n');
    await answer;
  })),

  // A stream may end at the deadline of a drain; it is resumed, and no event may be missing.
  async events() {
    let last = 0;
    while (!isStopping) {
      await counted(async () => {
        const wire = await Wire.open(where, TIMEOUT_MS);
        wire.send(`GET /events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: ${last}\r\n\r\n`);
        const before = last;
        await wire.lines((line) => {
          const [, id] = /^id: (\d+)$/.exec(line) ?? [];
          if (id === undefined) return isStopping;
          if (Number(id) !== last + 1) throw new Failure('shortBody', `event ${id} after ${last}`);
          last += 1;
          count();
          return isStopping;
        }, TIMEOUT_MS);
        wire.close();
        if (last === before && !isStopping) throw new Failure('shortBody', 'a stream without an event');
      }, 0);
    }
  },

  async webSocket() {
    while (!isStopping) {
      await counted(() => talk(new WebSocket(`ws://${where.host}:${where.port}`)), 0);
    }
  },

  async http2() {
    let session;
    while (!isStopping) {
      if (!session || session.closed || session.destroyed) {
        session = http2.connect(`https://localhost:${where.port}`, { rejectUnauthorized: false });
        session.on('error', () => {});
      }
      await counted(() => stream(session));
    }
    session?.close();
  },
};

// Echoes until the server says goodbye: with a close frame, or it counts as a reset.
function talk(socket) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Failure('timedOut', 'no echo')), TIMEOUT_MS);
    const next = () => setTimeout(() => {
      if (isStopping) socket.close();
      else if (socket.readyState === WebSocket.OPEN) socket.send('echo');
    }, THINK_MS);
    socket.on('open', next);
    socket.on('message', () => { count(); timer.refresh(); next(); });
    socket.on('error', reject);
    socket.on('close', (code) => {
      clearTimeout(timer);
      if (code === 1006) reject(new Failure('reset', 'ended without a close frame'));
      else resolve();
    });
  });
}

function stream(session) {
  return new Promise((resolve, reject) => {
    const request = session.request({ ':path': '/' });
    let status;
    let body = '';
    request.setEncoding('utf8').setTimeout(TIMEOUT_MS, () => reject(new Failure('timedOut', 'no answer')));
    request.on('response', (headers) => { status = headers[':status']; });
    request.on('data', (part) => { body += part; });
    request.on('error', reject);
    request.on('close', () => {
      if (status === undefined) reject(new Failure('reset', `stream closed, ${request.rstCode}`));
      else if (status !== 200) reject(new Failure('badStatus', `status ${status}`));
      else if (body !== 'hello') reject(new Failure('shortBody', body));
      else resolve();
    });
  });
}

async function main() {
  process.on('message', () => { isStopping = true; });
  process.on('disconnect', () => process.exit());
  watchStalls();
  const report = setInterval(() => process.send({ ...counters, stalledMs }, () => {}), 200);
  await Promise.all(Array.from({ length: clients }, () => kinds[kind]()));
  clearInterval(report);
  process.send({ ...counters, stalledMs }, () => process.disconnect());
}

function watchStalls() {
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    stalledMs = Math.max(stalledMs, Math.round(now - last));
    last = now;
  }, 20).unref();
}

main();
