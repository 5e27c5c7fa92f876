// `cluster.Worker`: what a program that forks for itself sees of each worker.
//
// lib/node-cluster/primary.js makes one per fork. It can be called without `new`, as Node's, so it is no class.
'use strict';

const { EventEmitter } = require('node:events');

function Worker(options) {
  if (!(this instanceof Worker)) return new Worker(options);
  EventEmitter.call(this);
  const { id, process: child, state } = options ?? {};
  this.exitedAfterDisconnect = undefined;
  this.state = state || 'none';
  this.id = id | 0;
  if (!child) return;
  this.process = child;
  child.on('error', (...args) => this.emit('error', ...args));
  child.on('message', (...args) => this.emit('message', ...args));
}

Object.setPrototypeOf(Worker.prototype, EventEmitter.prototype);
Object.setPrototypeOf(Worker, EventEmitter);

Worker.prototype.send = function send(...args) {
  return this.process.send(...args);
};

Worker.prototype.kill = function kill(...args) {
  this.destroy(...args);
};

Worker.prototype.destroy = function destroy(signal) {
  this.process.kill(signal || 'SIGTERM');
};

Worker.prototype.isConnected = function isConnected() {
  return this.process.connected;
};

Worker.prototype.isDead = function isDead() {
  return this.process.exitCode !== null || this.process.signalCode !== null;
};

module.exports = { Worker };
