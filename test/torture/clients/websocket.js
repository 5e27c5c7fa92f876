// A WebSocket: the server says its pid, then echoes. Some live until the server says goodbye by a close frame.
'use strict';

const { once } = require('node:events');
const { setTimeout: after } = require('node:timers/promises');

const { WebSocket } = require('ws');

const { Failure } = require('../../support/wire');

/** Echoes on one WebSocket. */
module.exports = async function dialogue(client) {
  const socket = await client.open((record) => open(client, record));
  if (!socket) return;
  let left = client.random.chance(0.1) ? Infinity : client.random.whole(1, 40);
  for (; left > 0 && socket.readyState === WebSocket.OPEN && !client.isStopping; left -= 1) {
    const text = `echo ${client.number()}`;
    if (!await client.judge(socket.record, text, async () => {
      socket.send(text);
      const answer = await socket.next();
      if (answer !== text) throw new Failure('wrong', `${answer} for ${text}`);
    })) break;
    await after(client.random.between(0, 200));
  }
  if (socket.readyState === WebSocket.CLOSED) return;
  socket.close();
  const timer = setTimeout(() => socket.terminate(), 1000);
  await once(socket, 'close');
  clearTimeout(timer);
};

// Open, and the pid was said.
async function open({ where, within }, record) {
  const { host, port, localAddress } = where;
  const socket = new WebSocket(`ws://${host}:${port}`, { localAddress });
  const messages = [];
  let wanted;
  let problem;
  const look = () => {
    if (messages.length > 0) wanted?.resolve(messages.shift());
    else if (problem) wanted?.reject(problem);
    else return;
    wanted = undefined;
  };
  socket.on('upgrade', (response) => { record.port = response.socket.localPort; });
  socket.on('message', (data) => { messages.push(String(data)); look(); });
  socket.on('error', (error) => { problem ??= error; look(); });
  socket.on('close', (code) => {
    problem ??= new Failure(code === 1001 ? 'goodbye' : 'reset', `closed with ${code}`);
    look();
  });
  socket.next = () => new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      problem ??= new Failure('timedOut', 'no message');
      look();
    }, within);
    const settle = (done) => (value) => {
      clearTimeout(timer);
      done(value);
    };
    wanted = { resolve: settle(resolve), reject: settle(reject) };
    look();
  });
  try {
    const [, pid] = /^pid (\d+)$/.exec(await socket.next());
    socket.pid = Number(pid);
    return socket;
  } catch (error) {
    socket.terminate();
    throw error;
  }
}
