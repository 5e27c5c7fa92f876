// Requests on the control socket of a program's master, as another process would make them.
'use strict';

const net = require('node:net');
const path = require('node:path');

const { inTime } = require('./wait');

/** Resolves with the master's answer, an object; `within` bounds the wait. */
async function ask(program, call, args, within = 30_000) {
  const answer = new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(program);
    socket.setEncoding('utf8').on('data', (part) => { text += part; });
    socket.on('end', () => resolve(text)).on('error', reject);
    socket.write(`${JSON.stringify({ call, args })}\n`);
  });
  return JSON.parse(await inTime(answer, `answer to ${call}`, within));
}

/** Resolves when the request has been sent and the connection is closed, whatever the master does about it. */
function askAndLeave(program, call, args) {
  return new Promise((resolve, reject) => {
    const socket = connect(program);
    socket.on('error', reject).on('close', resolve);
    socket.write(`${JSON.stringify({ call, args })}\n`, () => socket.destroy());
  });
}

module.exports = { ask, askAndLeave };

function connect(program) {
  return net.connect(path.join(program.cwd, 'pids', `master.${program.pid}.sock`));
}
