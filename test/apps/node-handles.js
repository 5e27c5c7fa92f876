// Sockets and servers that travel beside messages; the argument names the scenario. Each reports `port`, where the
// test connects and is answered by whoever has the handle then: `master <text of the message>` or `worker <text>`.
'use strict';

const cluster = require('node:cluster');
const dgram = require('node:dgram');
const http = require('node:http');
const net = require('node:net');

const { report } = require('../support/report');
const { run } = require('./node-run');

const HOST = '127.0.0.1';

const scenarios = {
  // The worker accepts, the master answers.
  'socket up': {
    worker() {
      listenHere((socket) => process.send(nameOf(socket), socket));
    },
    master() {
      cluster.on('message', (worker, message, socket) => socket.end(`master ${message === nameOf(socket)}`));
    },
  },
  // The master accepts, the worker answers, with all that the socket can do.
  'socket down': {
    worker() {
      process.on('message', (message, socket) => {
        socket.setEncoding('latin1').on('data', (text) => socket.end(`worker ${message === nameOf(socket)} ${text}`));
      });
    },
    master() {
      withWorker((worker) => listenHere((socket) => worker.send(nameOf(socket), socket), { pauseOnConnect: true }));
    },
  },
  // The same for an http server that never listened.
  'socket for http': {
    worker() {
      const server = http.createServer((request, response) => response.end(`worker ${request.url}`));
      process.on('message', (message, socket) => {
        server.emit('connection', socket);
        socket.resume();
      });
    },
    master() {
      withWorker((worker) => listenHere((socket) => worker.send('take it', socket), { pauseOnConnect: true }));
    },
  },
  // The worker makes the server, the master accepts too.
  'server up': {
    worker() {
      const server = listenHere((socket) => socket.end('worker'), { exclusive: true });
      server.on('listening', () => process.send('yours', server, () => server.close()));
    },
    master() {
      cluster.on('message', (worker, message, server) => {
        server.on('connection', (socket) => socket.end(`master ${message}`));
        report('taken', server instanceof net.Server);
      });
    },
  },
  'server down': {
    worker() {
      process.on('message', (message, server) => {
        server.on('connection', (socket) => socket.end(`worker ${message}`));
        report('taken', server instanceof net.Server);
      });
    },
    master() {
      withWorker((worker) => {
        const server = net.createServer().listen(0, HOST, () => {
          report('port', server.address().port);
          worker.send('yours', server, () => server.close());
        });
      });
    },
  },
  'datagrams up': {
    worker() {
      const socket = dgram.createSocket('udp4').bind({ port: 0, address: HOST, exclusive: true }, () => {
        report('port', socket.address().port);
        process.send('yours', socket, () => socket.close());
      });
    },
    master() {
      cluster.on('message', (worker, message, socket) => answerDatagrams(socket, `master ${message}`));
    },
  },
  'datagrams down': {
    worker() {
      process.on('message', (message, socket) => answerDatagrams(socket, `worker ${message}`));
    },
    master() {
      withWorker((worker) => {
        const socket = dgram.createSocket('udp4').bind(0, HOST, () => {
          report('port', socket.address().port);
          worker.send('yours', socket, () => socket.close());
        });
      });
    },
  },
  // A socket that was given away already, and one that is closed.
  'too late': {
    worker() {
      process.on('message', (message, handle) => report('arrived', message, typeof handle));
    },
    master() {
      withWorker((worker) => listenHere((socket) => {
        worker.send('first', socket);
        worker.send('second', socket);
        const closed = net.connect(1, HOST).on('error', () => worker.send('closed', closed));
      }));
    },
  },
  // What cannot travel.
  refused: {
    worker() {
      report('refusal', refusal(() => process.send('x', {})), refusal(() => process.send('x', 5)));
    },
    master() {
      withWorker((worker) => {
        report('refusal', refusal(() => worker.send('x', {})), refusal(() => worker.send('x', 5)));
      });
    },
  },
};

const scenario = scenarios[process.argv[2]];
run({ worker: () => scenario.worker(), master: () => scenario.master() });

function listenHere(onConnection, { exclusive, ...options } = {}) {
  const server = net.createServer(options, onConnection);
  return server.listen({ port: 0, host: HOST, exclusive }, () => report('port', server.address().port));
}

function withWorker(act) {
  cluster.on('online', act);
}

function nameOf(socket) {
  return `${socket.remotePort}`;
}

function answerDatagrams(socket, text) {
  socket.on('message', (_, { port, address }) => socket.send(text, port, address));
  report('taken', socket instanceof dgram.Socket);
}

function refusal(act) {
  try {
    act();
    return 'sent';
  } catch (error) {
    return [error.name, error.code];
  }
}
