// One request on the control socket of a program's master, as another process would make it.
'use strict';

const net = require('node:net');
const path = require('node:path');

const { inTime } = require('./wait');

/** Resolves with the master's answer, an object; `within` bounds the wait. */
async function ask(program, call, args, within = 30_000) {
  const answer = new Promise((resolve, reject) => {
    let text = '';
    const socket = net.connect(path.join(program.cwd, 'pids', `master.${program.pid}.sock`));
    socket.setEncoding('utf8').on('data', (part) => { text += part; });
    socket.on('end', () => resolve(text)).on('error', reject);
    socket.write(`${JSON.stringify({ call, args })}\n`);
  });
  return JSON.parse(await inTime(answer, `answer to ${call}`, within));
}

module.exports = { ask };
