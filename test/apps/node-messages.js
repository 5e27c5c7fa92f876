// Messages between master and workers, by Node's own means on both sides; the argument names the scenario, of which
// the master reports what came of it.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');

const { report } = require('../support/report');
const { run } = require('./node-run');

const MEGABYTE = 1024 * 1024;

const VALUES = [
  '', 'plain', 'two\nlines\r\n', '\u2028\u2029', 'žluťoučký kůň', '😀👩‍👩‍👧', '\ud800', 'x\udc00y', '\0\x01\x7f', '"\\',
  0, -0, 1.5, -1e-7, 1e308, 2 ** 53, NaN, Infinity, null, true, false,
  [], {}, [[[]]], [1, 'two', null, { three: [3] }], { a: { b: { c: [{ d: 'e' }] } } }, { '': 1, '\n': 2 },
  { none: undefined, some: 1 }, [undefined], new Date(0), Buffer.from('bytes'), { toJSON: () => 'by itself' },
  'NODE_CLUSTER', { text: 'NODE_CLUSTER' }, { type: 'NODE_HANDLE' }, [{ cmd: 'NODE_x' }], { inside: { cmd: 'NODE_x' } },
  { cmd: 'node_x' }, { cmd: 'NODE' }, { cmd: 'xNODE_' }, { cmd: 1 }, { cmd: null }, { cmd: ['NODE_x'] },
  { cmd: 'NODE_' }, { cmd: 'NODE_x' }, { cmd: 'NODE_x', act: 'online' }, { cmd: 'NODE_CLUSTER', act: 'dance' },
  '{"cmd":"NODE_x"}', { cmd: 'NODE_CLUSTE' }, 'after those that are not for us',
];
const circle = {};
circle.self = circle;
const REFUSED = [undefined, () => {}, Symbol('s'), 1n, { big: 1n }, circle];

let hasCalled = false;

const scenarios = {
  // Every value both ways; what throws, with its code.
  values: {
    worker() {
      process.on('message', (message) => process.send({ echo: [message] }));
      for (const value of VALUES) process.send(value);
      process.send({ refused: REFUSED.map((value) => refusalOf((message) => process.send(message), value)) });
      process.send({ ready: true });
    },
    master(worker, message) {
      report('up', message);
      if (message?.ready) {
        for (const value of VALUES) worker.send(value);
        report('refused', REFUSED.map((value) => refusalOf((message) => worker.send(message), value)));
        worker.send('end');
      }
      if (message?.echo?.[0] === 'end') report('end');
    },
  },

  // Five megabytes, in characters of one to four bytes.
  big: {
    worker() {
      process.on('message', (message) => process.send(message));
      process.send({ text: manyCharacters() });
    },
    master(worker, message) {
      const { text, isEcho } = message;
      report(isEcho ? 'back' : 'up', text === manyCharacters(), text.length);
      if (!isEcho) worker.send({ text, isEcho: true });
    },
  },

  // Ten thousand of them, in order.
  order: {
    worker() {
      let expected = 0;
      process.on('message', (number) => {
        if (number !== expected) process.send({ wrong: number, expected });
        expected += 1;
        process.send(number);
      });
      process.send({ ready: true });
    },
    master(worker, message) {
      if (message.ready) {
        this.expected = 0;
        for (let i = 0; i < 10000; i += 1) worker.send(i);
        return;
      }
      if (message !== this.expected) report('wrong', message, this.expected);
      this.expected += 1;
      if (this.expected === 10000) report('end');
    },
  },

  // A worker that is stopped while the master has 400 MB for it.
  stuck: {
    worker() {
      process.on('message', (message) => process.send({ heard: message.at }));
      process.send({ ready: true });
    },
    async master(worker, message) {
      if (message.ready) {
        this.others ??= [];
        this.others.push(worker);
        if (this.others.length === 2) await this.fill(...this.others);
      } else {
        this.heard ??= [];
        this.heard.push(message.heard);
        if (message.heard === 'last') report('end', this.heard);
      }
    },
    async fill(worker, other) {
      const before = residentMegabytes();
      process.kill(worker.process.pid, 'SIGSTOP');
      const outcomes = [];
      const returned = [];
      let longest = 0;
      for (let at = 0; at < 400; at += 1) {
        const begun = performance.now();
        returned.push(worker.send({ at, text: 'x'.repeat(MEGABYTE) }, (error) => {
          outcomes[at] = error ? error.code : 'sent';
        }));
        await new Promise((resolve) => setImmediate(resolve));
        longest = Math.max(longest, performance.now() - begun);
      }
      report('filled', { returned, outcomes, longest, grown: residentMegabytes() - before });
      process.kill(other.process.pid, 'SIGKILL');
      await new Promise((resolve) => cluster.once('online', resolve));
      report('replaced');
      process.kill(worker.process.pid, 'SIGCONT');
      const retry = () => worker.send({ at: 'last' }, (error) => error && setTimeout(retry, 10));
      retry();
    },
  },

  // A worker that sends 256 MB while the master's loop stands still.
  flood: {
    worker() {
      process.on('message', () => {
        for (let at = 0; at < 256; at += 1) process.send({ at, text: 'x'.repeat(MEGABYTE) });
        process.send({ end: true });
      });
      process.send({ ready: true });
    },
    master(worker, message) {
      if (message.ready) {
        this.before = residentMegabytes();
        this.expected = 0;
        worker.send('go');
        setImmediate(() => {
          const until = performance.now() + 1500;
          while (performance.now() < until);
          report('grown', residentMegabytes() - this.before);
        });
      } else if (message.end) {
        report('end', this.expected);
      } else {
        if (message.at !== this.expected) report('wrong', message.at, this.expected);
        this.expected += 1;
      }
    },
  },

  // What `send` returns and calls back, to one that lives and one that is gone.
  callbacks: {
    worker() {
      process.on('message', () => {});
      process.send({ ready: true });
    },
    master(worker) {
      // Not for the successor of the one that is killed: with Node's own cluster there is none.
      if (hasCalled) return;
      hasCalled = true;
      const tell = (what) => (error) => report('called back', what, error === null ? null : error instanceof Error);
      const sent = [worker.send('a', tell('as second')), worker.process.send('b', undefined, tell('as third')),
        worker.send('c', undefined, {}, tell('as fourth')), worker.send('d')];
      report('returned', sent);
      cluster.once('exit', (gone) => setImmediate(() => {
        const isSent = gone.send('e', tell('gone'));
        gone.on('error', () => report('error of the gone'));
        gone.send('f');
        report('returned', isSent);
      }));
      setImmediate(() => worker.process.kill('SIGKILL'));
    },
  },
};

const scenario = scenarios[process.argv[2]];

run({
  worker: () => scenario.worker(),
  master: () => cluster.on('message', (worker, message) => scenario.master(worker, message)),
});

function refusalOf(send, value) {
  try {
    send(value);
    return 'sent';
  } catch (error) {
    return [error.name, error.code];
  }
}

function manyCharacters() {
  return 'aé€😀'.repeat(MEGABYTE / 2);
}

// The most that this process ever had.
function residentMegabytes() {
  return Number(/VmHWM:\s+(\d+) kB/.exec(fs.readFileSync('/proc/self/status', 'latin1'))[1]) / 1024;
}
