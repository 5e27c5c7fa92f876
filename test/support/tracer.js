// System calls of a running process made slow or made to fail, by `strace`: for what the kernel does too rarely for a
// test. Owns the tracer that it starts.
'use strict';

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');

const { eventually, inTime } = require('./wait');

const hasStrace = spawnSync('strace', ['-V']).status === 0;

/**
 * Meddles with the calls of all threads that the process has now, not with its children: `injection` is what strace
 * wants after `-e inject=`. With `path`, it meddles with calls on that path alone, also those of later threads and
 * children. Resolves when it is in force, with a function that ends it.
 */
async function meddle(pid, injection, { path } = {}) {
  const threads = path === undefined ? fs.readdirSync(`/proc/${pid}/task`) : [pid];
  const only = path === undefined ? [] : ['-f', '-P', path];
  const calls = injection.slice(0, injection.indexOf(':'));
  const each = threads.flatMap((thread) => ['-p', thread]);
  const args = [...only, '-e', `trace=${calls}`, '-e', `inject=${injection}`, '-o', '/dev/null', ...each];
  const tracer = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const exit = new Promise((resolve) => { tracer.once('exit', resolve); });
  let text = '';
  tracer.stderr.setEncoding('utf8').on('data', (more) => { text += more; });
  await eventually(() => text.split(' attached').length > threads.length, { what: () => text });
  return () => {
    // At once, and whatever waits goes on.
    tracer.kill('SIGKILL');
    return inTime(exit, 'end of strace');
  };
}

module.exports = { hasStrace, meddle };
