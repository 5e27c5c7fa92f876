// The scoreboard of a running cluster, read as the master reads it: in the memory behind the master's descriptor.
'use strict';

const fs = require('node:fs');

const { load } = require('../../lib/shared/native');

/** The rows in use, `{fields by name, requests}`, of the master with this pid. */
function readScoreboard(masterPid) {
  const { rowSize, fields, ring } = load().scoreboardLayout();
  const fd = fs.openSync(boardOf(masterPid), 'r');
  try {
    const header = readAt(fd, 0, 64);
    const rows = [];
    for (let row = 0; row < 16; row += 1) {
      const numbers = readAt(fd, 4096 + 4 * 4096 * 8 + row * rowSize, rowSize);
      if (numbers[fields.pid] === 0) continue;
      const named = Object.fromEntries(Object.entries(fields).map(([name, word]) => [name, numbers[word]]));
      rows.push({ ...named, requests: requestsOf(numbers, ring) });
    }
    return { version: header[1], masterPid: header[5], rows };
  } finally {
    fs.closeSync(fd);
  }
}

/** The names of what a process has open. */
function openFiles(pid) {
  return fs.readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
}

module.exports = { readScoreboard, openFiles };

function boardOf(pid) {
  const fds = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
  return fds.find((fd) => linkOf(fd).includes('cluster2-scoreboard'));
}

function linkOf(fd) {
  try {
    return fs.readlinkSync(fd);
  } catch {
    // Closed since the directory was read.
    return '';
  }
}

function readAt(fd, position, size) {
  const bytes = Buffer.alloc(size);
  fs.readSync(fd, bytes, 0, size, position);
  return new Float64Array(bytes.buffer, bytes.byteOffset, size / 8);
}

function requestsOf(numbers, ring) {
  const requests = [];
  for (let entry = 0; entry < ring.entries; entry += 1) {
    const at = ring.at + entry * ring.words;
    if (numbers[at + ring.start] === 0) continue;
    const offset = numbers.byteOffset + (at + ring.text) * 8;
    const text = Buffer.from(numbers.buffer, offset, numbers[at + ring.length]).toString('latin1');
    requests.push({ text, status: numbers[at + ring.status], isUnderWay: numbers[at + ring.end] === 0 });
  }
  return requests;
}
