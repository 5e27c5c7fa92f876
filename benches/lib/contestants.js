// Who is measured: each is a master with its workers, started once and left idle while the others have their turn.
'use strict';

const { fork } = require('node:child_process');
const path = require('node:path');

const { cpuMilliseconds } = require('./cpu');

const START_MS = 20000;

const KINDS = {
  'cluster2-rs': { script: 'server-cluster2.js', env: {} },
  'node rr': { script: 'server-node.js', env: { NODE_CLUSTER_SCHED_POLICY: 'rr' } },
  'node shared': { script: 'server-node.js', env: { NODE_CLUSTER_SCHED_POLICY: 'none' } },
};

class Contestant {
  #child;
  #pids = [];
  name;
  port = 0;

  /** Starts one of `names` with the Node binary `node`; resolves when all of its workers listen. */
  static start(name, { node, workers }) {
    const contestant = new Contestant();
    contestant.name = name;
    const { script, env } = KINDS[name];
    const child = fork(path.join(__dirname, script), {
      execPath: node,
      execArgv: [],
      env: { ...process.env, BENCH_WORKERS: String(workers), ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    contestant.#child = child;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name} did not start`)), START_MS);
      child.once('exit', (code, signal) => reject(new Error(`${name} ended with ${code ?? signal}`)));
      child.once('message', ({ port, pids }) => {
        clearTimeout(timer);
        contestant.port = port;
        contestant.#pids = pids;
        resolve(contestant);
      });
    });
  }

  /** The processor time used so far, in ms: `{master, workers}`. */
  cpu() {
    const sum = (pids) => pids.reduce((total, pid) => total + cpuMilliseconds(pid), 0);
    return { master: sum([this.#child.pid]), workers: sum(this.#pids) };
  }

  /** Ends it; what does not go by itself is killed. */
  stop() {
    return new Promise((resolve) => {
      const killers = setTimeout(() => {
        this.#child.kill('SIGKILL');
        for (const pid of this.#pids) killQuietly(pid);
      }, 5000);
      this.#child.removeAllListeners('exit');
      this.#child.once('exit', () => {
        clearTimeout(killers);
        resolve();
      });
      this.#child.kill('SIGTERM');
    });
  }
}

// It may have gone by itself.
function killQuietly(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone.
  }
}

module.exports = { Contestant, names: Object.keys(KINDS) };
