// Clients whose handshakes are under way when the port is given up: whoever is connected by then is answered.
'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const path = require('node:path');

const { inTime, reap, startCluster } = require('../support');

const CLIENTS = path.join(__dirname, '../support', 'slow-handshakes.pl');

const isPossible = process.platform === 'linux' && spawnSync('perl', ['-MTime::HiRes', '-e', '1']).status === 0;

if (isPossible) describe('clients far away', () => {
  afterEach(reap);

  for (const scheduling of ['slots', 'shared', 'rr']) {
    it(`are answered or refused in a shutdown, and none is reset (${scheduling})`, async () => {
      // On a busy machine a client may be late with its request.
      const program = await startCluster({ noWorkers: 2, scheduling, keepAliveGrace: 5000 });
      const clients = new Clients(program.port);
      await clients.said(/open/);
      program.kill('SIGTERM');
      assert.match(await clients.said(/.+\n$/, 'end'), /^open\n\d+ answered\n$/);
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
    });
  }
});

// The script beside; it ends by itself once the port is closed.
class Clients {
  #text = '';
  #child;

  constructor(port) {
    this.#child = spawn('perl', [CLIENTS, String(port)], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.#text += text; });
    }
  }

  /** All that it said, once that matches, or once it has ended. */
  async said(pattern, until = 'data') {
    const stream = this.#child.stdout;
    const all = (async () => {
      while (until === 'end' ? !stream.readableEnded : !pattern.test(this.#text)) {
        await new Promise((resolve) => stream.once('data', resolve).once('end', resolve));
      }
      return this.#text;
    })();
    return inTime(all, () => `${pattern} in ${JSON.stringify(this.#text)}`);
  }
}
