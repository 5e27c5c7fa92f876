// Many clients of one port, in a process of their own, so that they take no time from the test that watches.
//
// Forked by `crowd` in test/support/crowd.js. The argument is JSON: `{port, paths, clients, reads}`. Each client keeps
// one connection and asks for one of the paths: a client that reads asks again after each answer, one that does not
// read asks once and never takes a byte. Says `{connected, answered}` five times a second and ends with its parent.
'use strict';

const net = require('node:net');

const { port, paths, clients, reads } = JSON.parse(process.argv[2]);
let connected = 0;
let answered = 0;

for (let number = 0; number < clients; number += 1) begin(paths[number % paths.length]);
setInterval(() => process.send({ connected, answered }), 200);
process.on('disconnect', () => process.exit());

function begin(path) {
  const socket = net.connect({ port, host: '127.0.0.1' });
  const ask = () => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  socket.once('connect', () => {
    connected += 1;
    ask();
  });
  // A client that is turned away stays away.
  socket.on('error', () => {});
  if (!reads) return;
  let missing = -1;
  socket.on('data', (part) => {
    let rest = part;
    if (missing < 0) {
      const end = part.indexOf('\r\n\r\n');
      missing = Number(/content-length: (\d+)/i.exec(part.toString('latin1', 0, end))[1]);
      rest = part.subarray(end + 4);
    }
    missing -= rest.length;
    if (missing > 0) return;
    missing = -1;
    answered += 1;
    ask();
  });
}
