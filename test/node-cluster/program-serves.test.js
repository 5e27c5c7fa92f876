// The workers of a program that forks for itself, under load: who gets which connection, leaving, dying, the monitor.
'use strict';

const assert = require('node:assert/strict');
const http = require('node:http');

const { eventually, freePort, isRefused, reap, request, start } = require('../support');

const play = (env, options) => start('forks-itself', { args: ['serve'], env, ...options });

/** The pids and the one port of `count` workers that listen. */
async function serving(program, count = 2) {
  const lines = await program.lines('listening', count);
  return { port: lines[0].args[1], pids: lines.map(({ args: [pid] }) => pid) };
}

/** Asks again and again over kept connections, until it is ended. */
class Clients {
  #isOver = false;
  #all;
  answered = 0;
  failures = [];

  constructor(port, count) {
    this.#all = Promise.all(Array.from({ length: count }, () => this.#ask(port)));
  }

  async #ask(port) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    while (!this.#isOver) {
      const { status, error } = await request(port, { agent }).then((answer) => answer, (error) => ({ error }));
      if (status === 200) this.answered += 1;
      else this.failures.push(error?.code ?? status);
    }
    agent.destroy();
  }

  async flow(more = 100) {
    const before = this.answered;
    await eventually(() => this.answered >= before + more, { what: 'answers' });
  }

  async end() {
    this.#isOver = true;
    await this.#all;
  }
}

for (const policy of [undefined, 'SCHED_RR', 'SCHED_NONE']) {
  describe(`workers of a program that forks for itself (${policy ?? 'schedulingPolicy left alone'})`, function () {
    this.timeout(60000);
    afterEach(reap);

    it('serve at one port, and lose nobody when one leaves for another', async () => {
      const program = play(policy && { POLICY: policy });
      assert.deepEqual((await program.line('policy')).args, [policy === 'SCHED_NONE' ? 1 : 2, 2]);
      const { port, pids } = await serving(program);
      const clients = new Clients(port, 8);
      await clients.flow();
      for (let round = 1; round <= 3; round += 1) {
        program.kill('SIGUSR2');
        await program.lines('exit', round);
        await clients.flow();
      }
      await clients.end();
      assert.deepEqual(clients.failures, [], `${clients.answered} answered`);
      assert.deepEqual(program.seen('exit').map(({ args }) => args.slice(1)), Array(3).fill([0, null]));
      const { body } = await request(port, { agent: false });
      assert.ok(!pids.includes(Number(body)), 'a new worker answers');
    });

    it('give the port up when the last one is gone', async () => {
      const program = play({ ...(policy && { POLICY: policy }), WORKERS: '1', PORT: String(await freePort()) });
      const { port, pids: [pid] } = await serving(program, 1);
      assert.equal((await request(port, { agent: false })).body, String(pid));
      process.kill(pid, 'SIGKILL');
      await program.line('exit');
      await eventually(() => isRefused(port), { what: 'the port to be closed' });
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
    });
  });
}

describe('a program that forks for itself', function () {
  this.timeout(60000);
  afterEach(reap);

  it('has connections of a worker that was killed served by the others', async () => {
    const program = play({ WORKERS: '3' });
    const { port, pids } = await serving(program, 3);
    process.kill(pids[0], 'SIGSTOP');
    const answers = Array.from({ length: 30 }, () => request(port, { agent: false }));
    process.kill(pids[0], 'SIGKILL');
    const bodies = await Promise.all(answers).then((all) => all.map(({ body }) => Number(body)));
    assert.ok(bodies.every((pid) => pids.slice(1).includes(pid)), String(bodies));
  });

  it('has a connection go to another worker where one is full, with SCHED_RR', async () => {
    const program = play({ POLICY: 'SCHED_RR', MOST: '2', WORKERS: '3' });
    const { port, pids } = await serving(program, 3);
    const slow = await Promise.all(Array.from({ length: 6 }, () => request(port, { path: '/slow', agent: false })));
    const counts = pids.map((pid) => slow.filter(({ body }) => body === String(pid)).length);
    assert.deepEqual(counts, [2, 2, 2]);
  });

  it('has no monitor and writes no file, unless it asks', async () => {
    const program = play({ CLUSTER2_MONITOR: '' });
    await serving(program);
    assert.deepEqual(program.files('.'), []);
  });

  for (const [title, env] of Object.entries({
    '`setupPrimary`': (port) => ({ MONITOR: port }),
    'the environment': (port) => ({ CLUSTER2_MONITOR: `127.0.0.1:${port}` }),
  })) {
    it(`has health and metrics where ${title} asks for them`, async () => {
      const monitor = await freePort();
      const program = play(env(String(monitor)));
      const { port } = await serving(program);
      await request(port, { agent: false });
      const isReady = async () => (await request(monitor, { path: '/ready' })).status === 200;
      await eventually(isReady);
      const counted = async () => {
        const { body } = await request(monitor, { path: '/metrics' });
        return /^cluster2_http_requests_total.*[1-9]$/m.test(body) && body;
      };
      const text = await eventually(counted, { what: 'the request to be counted' });
      assert.match(text, /^cluster2_workers\{state="serving"\} 2$/m);
      assert.deepEqual(program.files('.'), []);
    });
  }
});
