// kill -9 of workers under load: the dead take with them no more than they had accepted, as /proc tells; everybody
// else is answered, nobody is refused, nobody hangs. $CLUSTER2_TEST_KILLS makes it longer (12 in the full run).
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');

const { start, reap, eventually } = require('../support');

const KILLS = Number(process.env.CLUSTER2_TEST_KILLS ?? 4);
const CLIENTS = 40;
const WORKERS = 2;
const LONGEST_MS = 5000;
const HOST = '127.0.0.1';
// States of /proc/net/tcp in which the process still owes an answer: ESTABLISHED and CLOSE_WAIT.
const OPEN_STATES = ['01', '08'];

for (const scheduling of ['slots', 'shared', 'rr']) {
  describe(`kill -9 of workers under load (${scheduling})`, function () {
    this.timeout(60000 + KILLS * 10000);
    afterEach(reap);

    it('costs at most the requests that the dead had accepted', async () => {
      const program = start('kill-under-load', { options: { noWorkers: WORKERS, scheduling } });
      const { args: [port] } = await program.line('port');
      await program.lines('listening', WORKERS);
      const load = new Load(port);
      const accepted = [];
      for (let kill = 0; kill < KILLS; kill += 1) {
        await load.moves();
        const alive = livingWorkers(program);
        const victim = alive[Math.floor(Math.random() * alive.length)];
        process.kill(victim, 'SIGSTOP');
        await eventually(() => isStopped(victim), { what: 'the worker to stand still' });
        accepted.push(connectionsOf(victim, port));
        process.kill(victim, 'SIGKILL');
        await program.lines(({ event, args }) => event === 'died' && args[0] === victim, 1);
        await program.lines('listening', WORKERS + kill + 1, { within: 20000 });
      }
      await load.moves();
      await load.end();
      const allowed = accepted.reduce((sum, count) => sum + count, 0);
      const { answered, failures, longest } = load;
      const refused = failures.filter((code) => code === 'ECONNREFUSED');
      const told = `${answered} answered, ${failures.length} failed (${[...new Set(failures)]}), ${allowed} accepted`;
      assert.deepEqual(refused, [], told);
      assert.ok(failures.length <= allowed, told);
      assert.ok(!failures.includes('hung') && longest < LONGEST_MS, `${told}, the longest took ${longest} ms`);
    });
  });
}

// Clients that each make one connection after the other, for one request each.
class Load {
  answered = 0;
  failures = [];
  longest = 0;
  #isEnding = false;
  #clients;

  constructor(port) {
    this.#clients = Array.from({ length: CLIENTS }, async () => {
      while (!this.#isEnding) {
        const begun = performance.now();
        const problem = await ask(port);
        this.longest = Math.max(this.longest, performance.now() - begun);
        if (problem) this.failures.push(problem);
        else this.answered += 1;
      }
    });
  }

  /** Resolves when every client, in the mean, has been answered anew. */
  moves() {
    const goal = this.answered + CLIENTS;
    return eventually(() => this.answered >= goal, { what: 'answers' });
  }

  async end() {
    this.#isEnding = true;
    await Promise.all(this.#clients);
  }
}

// What went wrong, or nothing.
function ask(port) {
  return new Promise((resolve) => {
    let received = '';
    const socket = net.connect({ port, host: HOST });
    socket.setTimeout(LONGEST_MS, () => socket.destroy(Object.assign(new Error('hung'), { code: 'hung' })));
    socket.setEncoding('latin1').on('data', (text) => { received += text; });
    socket.on('error', ({ code }) => resolve(code));
    socket.on('close', () => resolve(received.endsWith('done') ? undefined : 'cut'));
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  });
}

function livingWorkers(program) {
  const dead = new Set(program.seen('died').map(({ args: [pid] }) => pid));
  return program.seen('listening').map(({ args: [pid] }) => pid).filter((pid) => !dead.has(pid));
}

function isStopped(pid) {
  return /^\d+ \(.*\) T/s.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
}

// How many accepted connections of the port the process holds.
function connectionsOf(pid, port) {
  const inodes = new Set(fs.readdirSync(`/proc/${pid}/fd`)
    .map((fd) => /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1]));
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return fs.readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state, , , , , , inode]) =>
      local?.endsWith(suffix) && OPEN_STATES.includes(state) && inodes.has(inode))
    .length;
}
