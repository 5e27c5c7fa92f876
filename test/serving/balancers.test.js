// Two clusters behind a real balancer, replaced one after the other under load: no request fails.
//
// The balancers run with the configurations of examples/, on ports of the test. Where the program is not installed the
// test is skipped, and says so.
'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const { eventually, freePort, inTime, makeDirectory, ready, reap, refused, request, start } = require('../support');

const EXAMPLES = path.join(__dirname, '../..', 'examples');
const PERIOD_MS = 5;
const AT_ONCE = 64;

describe('behind a balancer', function balancers() {
  this.timeout(60000);
  let directory;
  let balancer;

  beforeEach(() => { directory = makeDirectory(); });
  afterEach(async function end() {
    await balancer?.end();
    balancer = undefined;
    await reap.call(this);
    fs.rmSync(directory, { recursive: true, force: true });
  });

  it('HAProxy sees a disabled cluster and loses nothing while both are replaced', async function haproxy() {
    if (!has('haproxy', '-v')) this.skip('haproxy is not installed');
    const ports = await freePorts('8080', '8081', '3000', '4000');
    const clusters = [await startCluster(ports['3000']), await startCluster(ports['4000'])];
    const file = configure('haproxy/haproxy.cfg', ports);
    balancer = new Balancer('haproxy', ['-db', '-f', file]);
    const states = async () => {
      const { body } = await request(ports['8081'], { path: '/;csv' });
      return ['one', 'two'].map((name) => new RegExp(`^clusters,${name},(?:[^,]*,){15}(\\w+)`, 'm').exec(body)?.[1]);
    };
    const becomes = (at, state) => eventually(async () => (await states())[at] === state, { what: `${at} ${state}` });
    await eventually(() => states().then(() => true, () => false), { what: 'HAProxy' });
    const load = new Load(ports['8080']);
    for (const [at, cluster] of clusters.entries()) {
      await becomes(1 - at, 'UP');
      assert.equal((await control(cluster, 'disable')).status, 204);
      await becomes(at, 'DOWN');
      await shutDown(cluster);
      const next = await startCluster(cluster.port, { startDisabled: true });
      assert.equal((await states())[at], 'DOWN');
      await control(next, 'enable');
      await becomes(at, 'UP');
    }
    await load.end();
  });

  it('nginx finds the other cluster and loses nothing while both are replaced', async function nginx() {
    if (!has('nginx', '-v')) this.skip('nginx is not installed');
    const ports = await freePorts('8080', '3000', '4000');
    const clusters = [await startCluster(ports['3000']), await startCluster(ports['4000'])];
    const file = configure('nginx/nginx.conf', ports);
    balancer = new Balancer('nginx', ['-p', directory, '-c', file, '-g', 'master_process off;']);
    await eventually(() => request(ports['8080']).then(({ status }) => status === 200, () => false), { what: 'nginx' });
    assert.equal((await request(ports['8080'], { path: '/ecv/disable', method: 'POST' })).status, 404);
    const load = new Load(ports['8080']);
    for (const cluster of clusters) {
      await control(cluster, 'disable');
      await shutDown(cluster);
      const next = await startCluster(cluster.port, { startDisabled: true });
      await control(next, 'enable');
      // nginx asks again after two seconds.
      await eventually(() => next.workers.some((pid) => load.answerers.has(pid)), { what: 'an answer of the next' });
    }
    await load.end();
  });

  function configure(example, ports) {
    const text = fs.readFileSync(path.join(EXAMPLES, example), 'utf8');
    const file = path.join(directory, path.basename(example));
    fs.writeFileSync(file, text.replace(/127\.0\.0\.1:(\d+)/g, (all, port) => `127.0.0.1:${ports[port] ?? port}`));
    return file;
  }
});

async function startCluster(port, ecv = {}) {
  const program = start('ecv', { options: { port, ecv: { control: true, monitor: '/pid', ...ecv } }, args: ['http'] });
  return ready(program);
}

function control({ port }, verb) {
  return request(port, { path: `/ecv/${verb}`, method: 'POST' });
}

async function shutDown(cluster) {
  cluster.kill('SIGTERM');
  await refused(cluster.port);
  assert.deepEqual(await cluster.exit(), { code: 0, signal: null });
}

async function freePorts(...names) {
  const ports = {};
  for (const name of names) ports[name] = await freePort();
  return ports;
}

function has(program, flag) {
  return spawnSync(program, [flag]).error === undefined;
}

/** The balancer's process. */
class Balancer {
  #child;
  #exit;

  constructor(program, args) {
    this.#child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#exit = new Promise((resolve) => { this.#child.once('exit', resolve); });
  }

  async end() {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }
}

/** 200 requests a second, whatever becomes of them. */
class Load {
  count = 0;
  /** The pids of the workers that answered. */
  answerers = new Set();
  #failures = [];
  #underWay = new Set();
  #agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  #timer;
  #begun = performance.now();

  constructor(port) {
    this.#timer = setInterval(() => {
      // A timer that is late makes up for what it missed.
      while (this.count < (performance.now() - this.#begun) / PERIOD_MS) this.#send(port);
    }, PERIOD_MS);
  }

  /** Fails unless every request was answered with 200. */
  async end() {
    clearInterval(this.#timer);
    await inTime(Promise.all(this.#underWay), 'the last answers');
    this.#agent.destroy();
    assert.ok(this.count > 200, `only ${this.count} requests`);
    assert.deepEqual(this.#failures, [], `${this.#failures.length} of ${this.count} failed`);
  }

  #send(port) {
    this.count += 1;
    const answer = request(port, { path: '/pid', agent: this.#agent }).then(({ status, body }) => {
      if (status === 200) this.answerers.add(Number(body));
      else this.#failures.push(status);
    }, (error) => this.#failures.push(error.code ?? error.message));
    this.#underWay.add(answer);
    answer.finally(() => this.#underWay.delete(answer));
  }
}
