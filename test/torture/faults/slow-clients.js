// Clients that send half a request, or nothing, or say that they send no more, and go away later.
'use strict';

const net = require('node:net');
const { setTimeout: after } = require('node:timers/promises');

const BEGINNINGS = ['', 'GET /answer', 'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nxxx'];

module.exports = {
  every: 1,
  draw: (random) => ({
    clients: random.whole(1, 20),
    beginning: random.whole(0, BEGINNINGS.length - 1),
    isHalfClosed: random.chance(0.3),
    ms: random.whole(10, 3000),
  }),
  async run(target, { clients, beginning, isHalfClosed, ms }, history) {
    history.others += clients;
    const places = Object.values(target.places);
    const sockets = Array.from({ length: clients }, (_, at) => {
      const { host, port, path } = places[at % places.length];
      const socket = net.connect({ host, port, path }).on('error', () => {});
      socket.resume().write(BEGINNINGS[beginning]);
      if (isHalfClosed) socket.end();
      return socket;
    });
    await after(ms);
    for (const socket of sockets) socket.destroy();
  },
};
