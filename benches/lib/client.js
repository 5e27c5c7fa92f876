// The load: a process of its own that keeps `connections` clients busy against one port for `seconds`.
//
// Told by one message what to do, it answers by one: what was done, how long each request took, and by which worker.
// Clients speak raw sockets with a shared buffer, so that the load costs less of the processor than what it measures.
'use strict';

const net = require('node:net');

const SHORT = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
const KEPT = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
const WAIT_MS = 5000;

process.once('message', async (order) => {
  const load = new Load(order);
  process.send(await load.run());
  process.disconnect();
});

class Load {
  #order;
  #times;
  #answered = 0;
  #failed = 0;
  #byWorker = new Uint32Array(128);
  #until = 0;
  #length = 0;

  constructor(order) {
    this.#order = order;
    this.#times = new Float64Array(order.seconds * 100000);
  }

  async run() {
    const { seconds, connections, mode } = this.#order;
    this.#length = await this.#lengthOfAnswer();
    const before = process.cpuUsage();
    const start = performance.now();
    this.#until = start + seconds * 1000;
    const client = mode === 'short' ? () => this.#short() : () => this.#kept();
    await Promise.all(Array.from({ length: connections }, client));
    const elapsed = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(before);
    const sorted = this.#times.subarray(0, Math.min(this.#answered, this.#times.length)).sort();
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    const counts = [...this.#byWorker].filter((count) => count > 0);
    return {
      answered: this.#answered,
      failed: this.#failed,
      perSecond: this.#answered / elapsed,
      p50: at(0.5),
      p99: at(0.99),
      p999: at(0.999),
      busiest: Math.max(...counts) / this.#answered,
      clientCpu: (user + system) / this.#answered,
    };
  }

  // All answers are alike but for their last byte, so one tells how many bytes the others have.
  #lengthOfAnswer() {
    return new Promise((resolve, reject) => {
      let text = '';
      const request = this.#order.mode === 'short' ? SHORT : KEPT;
      const socket = net.connect(this.#order.port, '127.0.0.1', () => socket.write(request));
      socket.setTimeout(WAIT_MS, () => socket.destroy(new Error('no answer')));
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        const head = text.indexOf('\r\n\r\n') + 4;
        const length = head + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? NaN);
        if (head >= 4 && text.length >= length) {
          socket.destroy();
          resolve(length);
        }
      });
    });
  }

  #count(begun, mark) {
    if (this.#answered < this.#times.length) this.#times[this.#answered] = performance.now() - begun;
    this.#answered += 1;
    this.#byWorker[mark & 127] += 1;
  }

  // One connection after the other, each for one request.
  #short() {
    return new Promise((done) => {
      const next = () => {
        if (performance.now() >= this.#until) return done();
        const begun = performance.now();
        let received = 0;
        const socket = net.connect({
          port: this.#order.port,
          host: '127.0.0.1',
          onread: {
            buffer: scratch,
            callback: (count) => {
              received += count;
              if (received >= this.#length) this.#count(begun, scratch[count - 1]);
              return true;
            },
          },
        });
        socket.write(SHORT);
        socket.setTimeout(WAIT_MS, () => socket.destroy());
        socket.on('error', () => {});
        socket.on('close', () => {
          if (received < this.#length) this.#failed += 1;
          next();
        });
        return undefined;
      };
      next();
    });
  }

  // One connection for as long as it stays open, one request after the other.
  #kept() {
    return new Promise((done) => {
      const open = () => {
        if (performance.now() >= this.#until) return done();
        let begun = performance.now();
        let received = 0;
        let isDone = false;
        const socket = net.connect({
          port: this.#order.port,
          host: '127.0.0.1',
          onread: {
            buffer: scratch,
            callback: (count) => {
              received += count;
              if (received < this.#length) return true;
              this.#count(begun, scratch[count - 1]);
              received = 0;
              begun = performance.now();
              isDone = begun >= this.#until;
              if (isDone) socket.destroy();
              else socket.write(KEPT);
              return true;
            },
          },
        });
        socket.setNoDelay(true);
        socket.write(KEPT);
        socket.setTimeout(WAIT_MS, () => socket.destroy());
        socket.on('error', () => {});
        socket.on('close', () => {
          if (!isDone) this.#failed += 1;
          open();
        });
        return undefined;
      };
      open();
    });
  }
}

// Answers are read one at a time, and nothing of them is kept.
const scratch = Buffer.alloc(16 * 1024);
