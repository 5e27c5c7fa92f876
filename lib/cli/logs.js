// `cluster2 logs`: the end of the file to which a cluster's workers write, and what is added to it.
//
// The master says which file it was given for that (`start --log`). Without one, workers write to the master's stdout
// and stderr; on Linux the kernel says what these are, so files to which a shell has sent them are read too. While a
// file is followed it is looked at a few times a second, by its path: one that was rotated away is left when a new one
// is there, one that was emptied (logrotate's copytruncate) is read from its start.
'use strict';

const fs = require('node:fs');
const { setTimeout: after } = require('node:timers/promises');

const { number } = require('./arguments');
const { Failure, FAILED, NOT_ALLOWED } = require('./failure');
const { find, all } = require('./masters');
const { print } = require('./stdout');
const { isFile } = require('../shared/file-kind');

const LINES = '20';
const PART = 64 * 1024;
const LOOK_MS = 200;

async function logs(asked) {
  const { follow: isFollowed, lines = LINES } = asked.options;
  const count = number('logs', '--lines', lines, 0);
  const masters = await find(asked);
  const found = new Set();
  await all(masters, (master) => {
    for (const file of filesOf(master)) found.add(file);
  });
  const files = [...found];
  await Promise.all(files.map(async (file) => {
    if (files.length > 1) print(`==> ${file} <==`);
    const end = printEnd(file, count);
    if (isFollowed) await follow(file, end);
  }));
}

module.exports = { logs };

function filesOf({ pid, status }) {
  if (status.log) return [status.log];
  const outputs = outputsOf(pid);
  const files = outputs.filter(isFile);
  if (files.length > 0) return files;
  const instead = outputs.length === 0 ? '' : ` but to ${named(outputs[0], pid)}`;
  throw new Failure(FAILED, `the workers of master ${pid} write to no file${instead}: start it with --log FILE`);
}

// What a process has as its stdout and stderr, as the kernel names it; none where that can't be known.
function outputsOf(pid) {
  try {
    return [1, 2].map((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

function named(output, pid) {
  if (/^\/dev\/(?:pts|tty)/.test(output)) return `the terminal ${output}`;
  const service = output.startsWith('socket:') ? serviceOf(pid) : undefined;
  if (service) return `the journal (\`journalctl --unit ${service}\`)`;
  return /^(?:pipe|socket):/.test(output) ? 'a pipe, whose other end has them' : output;
}

// The unit of systemd that a process belongs to.
function serviceOf(pid) {
  try {
    return /\/([^/\n]+\.service)$/m.exec(fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

// Prints the last lines and gives the place behind them, `{ino, size}`.
function printEnd(file, count) {
  const fd = open(file);
  try {
    const { ino, size } = fs.fstatSync(fd);
    process.stdout.write(lastLines(fd, size, count));
    return { ino, size };
  } finally {
    fs.closeSync(fd);
  }
}

function open(file) {
  try {
    return fs.openSync(file, 'r');
  } catch (error) {
    const status = error.code === 'EACCES' ? NOT_ALLOWED : FAILED;
    throw new Failure(status, `the log ${file} can't be read: ${error.message}`);
  }
}

// Read from the end, part by part, until there are enough.
function lastLines(fd, size, count) {
  if (count === 0) return '';
  let [at, text] = [size, Buffer.alloc(0)];
  while (at > 0) {
    const part = Buffer.alloc(Math.min(PART, at));
    at -= part.length;
    const read = fs.readSync(fd, part, 0, part.length, at);
    text = Buffer.concat([part.subarray(0, read), text]);
    const start = startOf(text, count);
    if (start >= 0) return text.subarray(start);
  }
  return text;
}

// Where the last lines begin; -1 if there are not so many.
function startOf(text, count) {
  let at = text.at(-1) === 10 ? text.length - 1 : text.length;
  for (let left = count; left > 0; left -= 1) {
    at = at === 0 ? -1 : text.lastIndexOf(10, at - 1);
    if (at < 0) return -1;
  }
  return at + 1;
}

async function follow(file, { ino, size }) {
  for (let [known, at] = [ino, size]; ; await after(LOOK_MS)) {
    // Between two files of a rotation there may be none.
    const facts = fs.statSync(file, { throwIfNoEntry: false });
    if (!facts) continue;
    if (facts.ino !== known || facts.size < at) [known, at] = [facts.ino, 0];
    if (facts.size > at) at += copy(file, at, facts.size);
  }
}

function copy(file, from, to) {
  const fd = open(file);
  try {
    let at = from;
    while (at < to) {
      const part = Buffer.alloc(Math.min(PART, to - at));
      const read = fs.readSync(fd, part, 0, part.length, at);
      if (read === 0) break;
      process.stdout.write(part.subarray(0, read));
      at += read;
    }
    return at - from;
  } finally {
    fs.closeSync(fd);
  }
}
