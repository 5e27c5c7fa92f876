// Many connections at once, for full queues: each sends one request and waits for the answer, but not for long.
'use strict';

const net = require('node:net');
const { setTimeout: after } = require('node:timers/promises');

const LIFE_MS = 1500;

module.exports = {
  every: 3,
  draw: (random) => ({ clients: random.whole(20, 150) }),
  async run(target, { clients }, history) {
    history.others += clients;
    const sockets = Array.from({ length: clients }, () => {
      const socket = net.connect(target.places.plain).on('error', () => {});
      socket.resume().write('GET /answer?id=1&ms=20 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      return socket;
    });
    await after(LIFE_MS);
    for (const socket of sockets) socket.destroy();
  },
};
