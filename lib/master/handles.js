// Handles that travel beside messages between master and workers, by the names that Node gives their kinds.
//
// Owns nothing but, per worker, the list of connections that came from one of its servers: the server asks for them.
'use strict';

const dgram = require('node:dgram');
const net = require('node:net');

const { descriptorOf, letGo } = require('../shared/node-internals');

/** Makes an object of the application from a descriptor that came with a message of `kind`. */
function openHandle(kind, fd) {
  switch (kind) {
    case 'net.Server': return new net.Server().listen({ fd });
    case 'udp4':
    case 'udp6': return dgram.createSocket(kind).bind({ fd });
    default: return new net.Socket({ fd, readable: true, writable: true });
  }
}

/**
 * How to send a handle of the application: `{kind, fd, dgramType}`, or undefined for what can't be sent. Without an
 * `fd` it was closed or sent before, and the message goes alone.
 */
function describeHandle(handle) {
  if (handle instanceof net.Socket) return { kind: 'net.Socket', fd: descriptorOf(handle) };
  if (handle instanceof net.Server) return { kind: 'net.Server', fd: descriptorOf(handle) };
  if (handle instanceof dgram.Socket) return { kind: 'dgram.Socket', fd: descriptorOf(handle), dgramType: handle.type };
  return undefined;
}

/**
 * What Node does once a duplicate is on its way: a socket belongs to whoever receives it, and this process neither
 * reads from it nor holds it open. Servers and datagram sockets stay.
 */
function giveAway(handle) {
  if (handle instanceof net.Socket) letGo(handle);
}

/**
 * The connections that a worker's servers have sent. Node has a server wait, when it is closed, for the end of those
 * that it gave away, and asks the receiver.
 */
class ReceivedSockets {
  #say;
  // How many are open, by the name of the server.
  #open = new Map();
  #waiting = new Set();

  /** `say(message)` answers the worker. */
  constructor(say) {
    this.#say = say;
  }

  add(key, socket) {
    this.#open.set(key, this.#count(key) + 1);
    socket.once('close', () => {
      this.#open.set(key, this.#count(key) - 1);
      if (this.#waiting.has(key)) this.#tellIfNone(key);
    });
  }

  /** Whether a message is such a question, which is answered then. */
  hear(message) {
    switch (message?.cmd) {
      case 'NODE_SOCKET_NOTIFY_CLOSE':
        this.#waiting.add(message.key);
        this.#tellIfNone(message.key);
        return true;
      case 'NODE_SOCKET_GET_COUNT':
        this.#say({ cmd: 'NODE_SOCKET_COUNT', key: message.key, count: this.#count(message.key) });
        return true;
      default: return false;
    }
  }

  #count(key) {
    return this.#open.get(key) ?? 0;
  }

  #tellIfNone(key) {
    if (this.#count(key) > 0) return;
    this.#waiting.delete(key);
    this.#open.delete(key);
    this.#say({ cmd: 'NODE_SOCKET_ALL_CLOSED', key });
  }
}

module.exports = { ReceivedSockets, openHandle, describeHandle, giveAway };
