// Raw TCP: the server says its pid, then echoes lines until the client goes.
'use strict';

const net = require('node:net');
const { setTimeout: after } = require('node:timers/promises');

const { Failure } = require('../../support/wire');

/** Some lines on one connection. */
module.exports = async function dialogue(client) {
  const connection = await client.open((record) => open(client, record));
  if (!connection) return;
  for (let left = client.random.whole(0, 6); left > 0; left -= 1) {
    const text = `line ${client.number()}`;
    if (!await client.judge(connection.record, text, async () => {
      connection.socket.write(`${text}\n`);
      const answer = await connection.line();
      if (answer !== text) throw new Failure('wrong', `${answer} for ${text}`);
    })) break;
    await after(client.random.between(0, 100));
  }
  connection.socket.destroy();
};

// Open, and the pid was said.
async function open({ where, within }, record) {
  const socket = net.connect(where).setEncoding('latin1');
  let received = '';
  let problem;
  let look = () => {};
  socket.on('connect', () => { record.port = socket.localPort; });
  socket.on('data', (text) => { received += text; look(); });
  socket.on('error', (error) => { problem ??= error; look(); });
  socket.on('close', () => { problem ??= new Failure('reset', 'ended without an answer'); look(); });
  const line = () => new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      problem ??= new Failure('timedOut', 'no answer');
      look();
    }, within);
    look = () => {
      const end = received.indexOf('\n');
      if (end < 0 && !problem) return;
      clearTimeout(timer);
      look = () => {};
      if (end < 0) return reject(problem);
      const text = received.slice(0, end);
      received = received.slice(end + 1);
      return resolve(text);
    };
    look();
  });
  try {
    const [, pid] = /^pid (\d+)$/.exec(await line());
    return { socket, line, pid: Number(pid) };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
