// Applications that have something to do at their end, each in the way that the first argument names.
//
// `/pid` answers the worker's pid; `/hold` is answered on SIGUSR2; everything else gets "hello".
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const { setTimeout: pause } = require('node:timers/promises');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [kind] = process.argv.slice(2);
const role = cluster.isWorker ? 'worker' : 'master';
const held = [];
const isSingle = options.cluster === false;

function answer(request, response) {
  report('request', request.url);
  if (request.url === '/hold') held.push(response);
  else response.end(request.url === '/pid' ? String(process.pid) : 'hello');
}

const server = http.createServer(answer);
server.on('close', () => report('close'));
if (cluster.isWorker || isSingle) {
  process.on('SIGUSR2', () => held.splice(0).forEach((response) => {
    response.on('finish', () => report('answered'));
    response.end('held');
  }));
}

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning', 'draining');
c.on('listening', () => report('addresses', c.addresses()));

const kinds = {
  cleanup: () => {
    c.cleanup(async () => {
      report('cleaning', 1);
      await pause(50);
      report('cleaned', 1);
    });
    c.cleanup(() => report('cleaned', 2));
    return server;
  },
  'failing cleanup': () => {
    c.cleanup(async () => { throw new Error('could not flush'); });
    c.cleanup(() => report('cleaned', 2));
    return server;
  },
  'endless cleanup': () => {
    const keptAlive = setInterval(() => {}, 1000);
    c.cleanup(() => new Promise((resolve) => { keptAlive.resolve = resolve; }));
    return server;
  },
  'exits on signals': () => {
    for (const signal of ['SIGTERM', 'SIGINT']) {
      process.on(signal, (...args) => {
        report('heard', ...args);
        if (cluster.isWorker) process.exit(3);
      });
    }
    return server;
  },
  'works on after SIGTERM': () => {
    process.once('SIGTERM', async () => {
      await pause(100);
      report('worked on');
    });
    return server;
  },
  'closes its server': () => {
    process.on('SIGTERM', () => {
      if (role === 'master' && !isSingle) return;
      server.close((error) => {
        report('closed', error?.code ?? null);
        process.exit(error ? 1 : 0);
      });
    });
    return server;
  },
  // As the package signal-exit does: where nobody else listens, the signal has its usual effect.
  'signal-exit': () => {
    setInterval(() => {}, 1000);
    process.on('SIGTERM', function listener() {
      const others = process.listeners('SIGTERM').length - 1;
      report('others', others);
      if (others > 0) return;
      process.removeListener('SIGTERM', listener);
      process.kill(process.pid, 'SIGTERM');
    });
    return server;
  },
  'keeps a timer after cleaning up': () => {
    c.cleanup(() => report('cleaned', 1));
    setInterval(() => {}, 1000);
    return server;
  },
  'keeps a timer': () => {
    if (role === 'worker') setInterval(() => {}, 1000);
    return server;
  },
  fastify: () => {
    const app = require('fastify')();
    app.addHook('onClose', async () => {
      report('closing');
      await pause(50);
      report('closed');
    });
    app.get('/*', (request, reply) => {
      reply.hijack();
      answer(request.raw, reply.raw);
    });
    return app;
  },
  'an object with close': () => ({
    listen: (...args) => server.listen(...args),
    close: async () => {
      report('closing');
      await new Promise((resolve) => { server.close(resolve); });
      report('closed');
    },
  }),
  websocket: () => {
    const { WebSocketServer } = require('ws');
    new WebSocketServer({ server }).on('connection', () => report('connected'));
    c.cleanup(async () => {
      await pause(50);
      report('cleaned', 1);
    });
    return server;
  },
  // As a Node would be in which the method has another name.
  'without _storeHeader': () => {
    c.on('draining', () => { http.ServerResponse.prototype._storeHeader = undefined; });
    return server;
  },
  'shuts down by itself': () => {
    if (role === 'master') {
      c.once('listening', async () => {
        await c.shutdown();
        report('resolved');
        await pause(200);
        report('flushed');
        if (process.argv[3] === 'for ever') setInterval(() => {}, 1000);
      });
    }
    return server;
  },
};

const app = kinds[kind]();
c.listen((callback) => callback(app), () => report('callback'));
