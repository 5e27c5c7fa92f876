// The application of every contestant: an answer of fixed length whose last byte tells which worker gave it.
//
// It says when it listens by a line in the file BENCH_NOTES, which is how the harness learns of workers, whoever
// forks them. SIGWINCH blocks its event loop for BENCH_BLOCK_MS, `/slow` answers after 300 ms, and `/hold/40` holds
// the event loop for 40 ms without using the processor, as if each worker had one of its own.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const SLOW_MS = 300;
const HOLD = '/hold/';
const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));

function createApp() {
  // In the master, where this package runs it too, nobody asks it anything. PM2 counts its workers from 0.
  const number = cluster.worker?.id ?? Number(process.env.NODE_APP_INSTANCE ?? 0);
  const text = `hello world ${String.fromCharCode(48 + number % 64)}`;
  const server = http.createServer((req, res) => {
    if (req.url.startsWith(HOLD)) Atomics.wait(nobodyWakes, 0, 0, Number(req.url.slice(HOLD.length)));
    if (req.url === '/slow') setTimeout(() => res.end(text), SLOW_MS);
    else res.end(text);
  });
  // Idle connections are to stay open while they are measured; Node's own default ends them after 5 s.
  server.keepAliveTimeout = 120_000;
  server.on('listening', () => {
    note({ pid: process.pid, port: server.address().port, at: performance.timeOrigin + performance.now() });
    process.on('SIGWINCH', block);
  });
  return server;
}

/** One line for the harness. */
function note(line) {
  fs.appendFileSync(process.env.BENCH_NOTES, `${JSON.stringify(line)}\n`);
}

function block() {
  const end = performance.now() + Number(process.env.BENCH_BLOCK_MS ?? 2000);
  while (performance.now() < end);
}

module.exports = { block, createApp, note };
