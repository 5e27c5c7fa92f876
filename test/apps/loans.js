// Tells its parent what `watchLoans` of lib/shared/node-internals.js says in a worker of Node's own cluster module:
// before the worker asks for a socket, while it waits, and then; for a server, a UDP socket and a port that is in use.
'use strict';

const cluster = require('node:cluster');
const dgram = require('node:dgram');
const { once } = require('node:events');
const net = require('node:net');

const { watchLoans } = require('../../lib/shared/node-internals');

if (cluster.isMaster) runMaster();
else runWorker();

async function runMaster() {
  const inUse = net.createServer().listen(0, '127.0.0.1');
  await once(inUse, 'listening');
  const worker = cluster.fork({ PORT: inUse.address().port });
  const [answers] = await once(worker, 'message');
  process.send(answers);
  worker.kill();
  inUse.close();
  process.disconnect();
}

async function runWorker() {
  const isWaiting = watchLoans(() => {});
  const ask = async (begin, event) => {
    const before = isWaiting();
    let meanwhile = false;
    // Node asks when it has looked the address up.
    const { send } = process;
    process.send = (...message) => {
      meanwhile ||= isWaiting();
      return send.apply(process, message);
    };
    await once(begin(), event);
    process.send = send;
    return [before, meanwhile, isWaiting()];
  };
  process.send({
    tcp: await ask(() => net.createServer().listen({ port: 0, host: '127.0.0.1' }), 'listening'),
    udp: await ask(() => dgram.createSocket('udp4').bind({ port: 0, address: '127.0.0.1' }), 'listening'),
    busy: await ask(() => net.createServer().listen({ port: Number(process.env.PORT), host: '127.0.0.1' }), 'error'),
  });
}
