// A connection in a form that is no net.Socket: a Duplex around a socket, which it owns.
'use strict';

const { Duplex } = require('node:stream');

/** What is written to it comes out at the socket, and the reverse. */
function wrapped(socket) {
  const duplex = new Duplex({
    read: () => socket.resume(),
    write: (chunk, encoding, done) => socket.write(chunk, done),
    final: (done) => socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk) => duplex.push(chunk) || socket.pause());
  socket.on('end', () => duplex.push(null));
  socket.on('error', () => duplex.destroy());
  socket.on('close', () => duplex.destroy());
  return duplex;
}

module.exports = { wrapped };
