// Handles that travel beside messages between master and workers, by the names that Node gives their kinds.
'use strict';

const dgram = require('node:dgram');
const net = require('node:net');

/** Makes an object of the application from a descriptor that came with a message of `kind`. */
function openHandle(kind, fd) {
  switch (kind) {
    case 'net.Socket': return new net.Socket({ fd, readable: true, writable: true });
    case 'net.Server': return new net.Server().listen({ fd });
    case 'dgram.Socket': return dgram.createSocket('udp4').bind({ fd });
    default: return new net.Socket({ fd, readable: true, writable: true });
  }
}

/** The kind and descriptor of a handle that the application wants to send, or undefined for what can't be sent. */
function describeHandle(handle) {
  const fd = handle?._handle?.fd;
  if (!(fd >= 0)) return undefined;
  if (handle instanceof net.Socket) return { kind: 'net.Socket', fd };
  if (handle instanceof net.Server) return { kind: 'net.Server', fd };
  if (handle instanceof dgram.Socket) return { kind: 'dgram.Socket', fd };
  return undefined;
}

module.exports = { openHandle, describeHandle };
