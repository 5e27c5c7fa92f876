// A program that forks for itself, by `cluster2-rs/cluster` or, with $API set to `node`, by `node:cluster`. The first
// argument names the scene that it plays; whatever happens is reported.
'use strict';

const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const cluster = require(process.env.API === 'node' ? 'node:cluster' : `${process.env.CLUSTER2_PACKAGE}/cluster`);
const { report } = require('../support/report');

const [, , scene] = process.argv;
const HOST = '127.0.0.1';

/** Each is `{primary(), worker()}`. */
const scenes = {
  events: {
    primary() {
      const worker = cluster.fork();
      hear(worker, 'worker', ['online', 'listening', 'message', 'disconnect', 'exit']);
      hear(worker.process, 'process', ['spawn', 'message', 'disconnect', 'exit', 'close']);
      hear(cluster, 'cluster', ['setup', 'fork', 'online', 'listening', 'message', 'disconnect', 'exit']);
      cluster.once('message', () => worker.disconnect());
    },
    worker() {
      net.createServer().listen(0, HOST, () => process.send('hello'));
    },
  },

  settings: {
    primary() {
      const execArgv = [...process.execArgv, '--no-warnings'];
      cluster.setupPrimary({ args: ['settings', 'one', 'two'], execArgv, silent: true });
      const worker = cluster.fork({ NUMBER: 1, NOTHING: undefined });
      worker.process.stdout.once('data', (text) => report('stdout', String(text)));
      worker.once('message', (facts) => report('facts', facts));
    },
    worker() {
      const { argv, execArgv, env } = process;
      console.log('said');
      const internal = /^(NODE_(UNIQUE|CHANNEL)|CLUSTER2_(BOARD|MASTER|PRIMARY))/;
      const names = Object.keys(env).filter((name) => internal.test(name));
      process.send({ args: argv.slice(3), flag: execArgv.at(-1), number: env.NUMBER, nothing: env.NOTHING, names });
      process.disconnect();
    },
  },

  stdio: {
    primary() {
      cluster.setupPrimary({ stdio: ['pipe', 'ignore', 'pipe', 'ipc', 'pipe'] });
      const { process: child } = cluster.fork();
      child.stderr.on('data', (text) => report('stderr', String(text)));
      child.stdio[4].on('data', (text) => report('extra', String(text)));
      child.stdin.end('written to stdin');
      child.stdio[4].write('written to the extra pipe');
      report('stdio', child.stdio.map((stream) => stream !== null), child.stdout);
      child.on('close', (...args) => report('close', ...args));
    },
    worker() {
      process.stdin.on('data', (text) => process.stderr.write(`read: ${text}`));
      const extra = new net.Socket({ fd: 4 });
      extra.once('data', (text) => extra.end(`read: ${text}`, () => process.disconnect()));
    },
  },

  advanced: {
    primary() {
      cluster.setupPrimary({ serialization: 'advanced' });
      const worker = cluster.fork();
      const message = { map: new Map([[1, new Set(['a'])]]), bytes: Buffer.from('bytes'), big: 2n ** 70n };
      message.self = message;
      worker.once('online', () => worker.send(message));
      worker.once('message', ({ map, bytes, big, self }, socket) => {
        const texts = [[...map.get(1)], Buffer.from(bytes).toString(), String(big), self.self === self];
        report('echo', ...texts, socket instanceof net.Socket);
        socket.destroy();
        http.get({ host: HOST, port: worker.port, agent: false }, (response) => {
          report('answered', response.statusCode);
          response.resume();
          worker.disconnect();
        });
      });
      worker.once('listening', ({ port }) => { worker.port = port; });
    },
    worker() {
      const server = http.createServer((request, response) => response.end('ok')).listen(0, HOST);
      const answer = (message) => {
        const socket = net.connect(server.address().port, HOST, () => process.send(message, socket));
      };
      process.on('message', (message) => {
        if (server.listening) answer(message);
        else server.once('listening', () => answer(message));
      });
    },
  },

  'says something at once': {
    primary() {
      cluster.on('listening', ({ id }) => report('listening', id));
      cluster.on('online', ({ id }) => report('online', id));
      cluster.on('message', ({ id, process: { pid } }, said) => {
        report(said, id);
        if (said === 'serving') process.kill(pid, 'SIGKILL');
      });
      for (let at = 0; at < 8; at += 1) cluster.fork();
    },
    worker() {
      process.send('started');
      // Node tells of the server once its own listener for 'listening' was called, after this one.
      http.createServer().listen(0, HOST, () => setImmediate(() => process.send('serving')));
    },
  },

  failures: {
    primary() {
      cluster.setupPrimary({ cwd: '/nowhere' });
      const worker = cluster.fork();
      const { id, process: { pid } } = worker;
      worker.on('error', ({ code, syscall }) => report('error', code, syscall.split(' ')[0], id, pid));
      worker.on('disconnect', () => report('left', Object.keys(cluster.workers)));
      for (const [name, settings] of Object.entries({
        'no channel': { stdio: ['pipe'] },
        'two channels': { stdio: ['ipc', 'ipc'] },
        'no such stdio': { stdio: 'nonsense' },
        'no such serialization': { serialization: 'xml' },
        'no script': { exec: 7 },
        'no port': { inspectPort: null },
        'no directory': { cwd: 5 },
        'a directory with a zero byte': { cwd: 'a\0b' },
        'a remote directory': { cwd: new URL('http://localhost/') },
        'no path': { exec: {} },
        'a script with a zero byte': { exec: 'a\0b' },
        'a text for arguments': { args: 'one' },
        'an argument with a zero byte': { args: ['a\0b'] },
        'a flag with a zero byte': { execArgv: ['a\0b'] },
        'a name for a user': { uid: 'nobody' },
        'a text for a group': { gid: '0' },
        'a variable with a zero byte': { variable: 'a\0b' },
      })) {
        const before = { ...cluster.settings };
        cluster.setupPrimary(settings);
        try {
          cluster.fork({ VARIABLE: settings.variable });
        } catch ({ code }) {
          report('refused', name, code);
        }
        cluster.settings = before;
      }
    },
  },

  'nothing is replaced': {
    primary() {
      const workers = [cluster.fork({ END: 'exit' }), cluster.fork({ END: 'throw' }), cluster.fork({ END: 'listen' })];
      cluster.on('exit', ({ id }) => {
        const left = Object.keys(cluster.workers);
        report('exit', id, left);
        if (left.length === 1) workers[2].kill('SIGKILL');
      });
      cluster.on('fork', ({ id }) => report('fork', id));
      process.on('exit', () => report('primary exits'));
    },
    worker() {
      const { END } = process.env;
      if (END === 'listen') http.createServer().listen(0, HOST);
      else if (END === 'throw') throw new Error('on purpose');
      else process.exit(1);
    },
  },

  unref: {
    primary() {
      const worker = cluster.fork();
      worker.once('online', () => {
        worker.process.unref();
        worker.process.channel.unref();
      });
      process.on('exit', () => report('primary exits'));
    },
    worker() {
      process.on('exit', (code) => report('worker exits', code));
      setInterval(() => {}, 1000);
    },
  },

  'after its primary': {
    primary() {
      const worker = cluster.fork();
      worker.once('listening', ({ port }) => {
        http.get({ host: HOST, port }, (response) => response.resume());
      });
      worker.once('message', () => {
        worker.disconnect();
        worker.once('disconnect', () => process.exit());
      });
    },
    worker() {
      http.createServer((request, response) => {
        process.send('begun');
        setTimeout(() => response.end(), 50);
        // The last thing that it has to do.
        process.once('disconnect', () => setTimeout(() => report('done'), 300));
      }).listen(0, HOST);
    },
  },

  'gives connections away': {
    primary() {
      cluster.setupPrimary({ serialization: process.env.SERIALIZATION });
      const worker = cluster.fork();
      worker.once('listening', ({ port }) => net.connect(port, HOST));
      let connection;
      worker.on('message', (message, handle) => {
        report(message, handle instanceof net.Socket);
        connection ??= handle;
        if (message === 'counted') connection.destroy();
      });
    },
    worker() {
      const server = net.createServer((socket) => {
        process.send('given', socket, () => server.getConnections((_, count) => {
          server.close(() => process.send('closed', () => process.disconnect()));
          process.send(count === 1 ? 'counted' : `counted ${count}`);
        }));
      });
      server.listen(0, HOST);
    },
  },

  list: {
    primary() {
      const workers = [cluster.fork(), cluster.fork()];
      cluster.on('listening', ({ id }) => {
        report('listening', id);
        if (workers.some(({ state }) => state !== 'listening')) return;
        workers[0].disconnect();
        report('left', Object.keys(cluster.workers), workers[0].exitedAfterDisconnect, workers[0].isConnected());
        workers[0].once('exit', () => {
          cluster.disconnect(() => report('called back', Object.keys(cluster.workers), workers[1].isConnected()));
        });
      });
    },
    worker() {
      http.createServer().listen(0, HOST);
    },
  },

  serve: {
    primary() {
      const { POLICY, MONITOR } = process.env;
      if (POLICY) cluster.schedulingPolicy = cluster[POLICY];
      if (MONITOR) cluster.setupPrimary({ monitor: { port: Number(MONITOR) } });
      report('policy', cluster.schedulingPolicy, cluster.SCHED_RR);
      for (let count = Number(process.env.WORKERS ?? 2); count > 0; count -= 1) cluster.fork();
      cluster.on('listening', (worker, { port }) => report('listening', worker.process.pid, port, worker.id));
      cluster.on('exit', ({ id }, code, signal) => report('exit', id, code, signal));
      // Replaces one worker, in the way of forkers: the new one first.
      process.on('SIGUSR2', () => {
        const [old] = Object.values(cluster.workers);
        cluster.fork().once('listening', () => old.disconnect());
      });
    },
    worker() {
      const { PORT = 0, MOST } = process.env;
      const server = http.createServer((request, response) => {
        if (request.url === '/slow') setTimeout(() => response.end(String(process.pid)), 200);
        else response.end(String(process.pid));
      });
      if (MOST) server.maxConnections = Number(MOST);
      server.listen(Number(PORT), HOST);
    },
  },

  inspect: {
    primary() {
      const ports = [];
      for (const inspectPort of [undefined, 0, () => 0]) {
        cluster.setupPrimary({ execArgv: ['--inspect=0'], inspectPort, silent: true });
        const { process: child } = cluster.fork();
        ports.push(child.spawnargs.find((flag) => flag.startsWith('--inspect-port=')));
        child.kill();
      }
      report('ports', ports.slice(1), ports[0] === `--inspect-port=${process.debugPort + 1}`);
    },
  },

  constructor: {
    primary() {
      const { ChildProcess } = require('node:child_process');
      const worker = cluster.fork();
      report('kinds', worker instanceof cluster.Worker, cluster.Worker({ id: 7 }).id,
        worker.process instanceof ChildProcess, cluster.setupMaster === cluster.setupPrimary);
      worker.kill();
    },
  },
};

function hear(emitter, name, events) {
  for (const event of events) emitter.on(event, () => report(`${name} ${event}`));
}

const { primary, worker } = scenes[scene];
if (cluster.isPrimary) primary();
else worker?.();

module.exports = { script: path.basename(__filename) };
