// Finds the masters of a pids directory and asks them, over their control sockets. A master that could not write there
// is in another directory, which src/process/fallback.rs describes; the same rule is applied here.
//
// The commands are the callers. A file proves nothing, so a master is one that answers on its socket, which says the
// pid that the file's name says; nobody is ever signalled from here. The sockets have mode 0600: what others may not
// ask, the kernel refuses. One connection is one request and one answer, a line of JSON each.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { setTimeout: after } = require('node:timers/promises');

const { Failure, FAILED, NOT_ALLOWED, NOT_RUNNING } = require('./failure');
const { say } = require('../shared/stderr');

const NAME = /^master\.([1-9]\d{0,9})\.(sock|pid)$/;
// What fits into a socket's address on every system that we run on.
const LONGEST_ADDRESS = 100;
const ANSWER_MS = 10_000;
const RETRY_MS = 10;
// Thousands of workers take a tenth of it: whoever sends more is no master.
const ANSWER_LIMIT = 64 * 2 ** 20;

/** The kernel's words for a master that is not there, and for one that is too busy to queue us. */
const GONE = ['ENOENT', 'ECONNREFUSED'];
const BUSY = ['EAGAIN', 'EBUSY'];

class Master {
  #dir;
  pid;
  /** What it said of itself when it was looked for, /status.json; undefined if it has gone, or there is a problem. */
  status;
  /** The Failure that hindered that. */
  problem;

  constructor(dir, pid) {
    this.#dir = dir;
    this.pid = pid;
  }

  /** Asks for `status`, and never rejects. */
  async look(within) {
    try {
      const status = await this.ask('status', undefined, within);
      if (status?.pid === this.pid) this.status = status;
    } catch (error) {
      this.problem = error;
    }
  }

  /**
   * Resolves with the answer, an object; undefined if the master has gone. Rejects with a Failure if it does not answer
   * within so many ms (for ever: Infinity) or may not be asked. `signal` ends the wait.
   */
  async ask(call, args, within = ANSWER_MS, signal = undefined) {
    const until = Date.now() + within;
    for (;;) {
      try {
        const line = JSON.stringify({ call, args });
        return understood(await converse(this.#address(), line, until - Date.now(), signal));
      } catch (error) {
        if (GONE.includes(error.code)) return undefined;
        if (error.code === 'EACCES' || error.code === 'EPERM') throw this.#notAllowed();
        if (!BUSY.includes(error.code) || Date.now() > until) {
          throw new Failure(FAILED, `master ${this.pid} does not answer: ${error.message}`);
        }
        await after(RETRY_MS);
      }
    }
  }

  /** As `ask`; but an answer that says no is a Failure with its text. */
  async demand(call, args, within, signal) {
    const answer = await this.ask(call, args, within, signal);
    if (answer === undefined) throw new Failure(NOT_RUNNING, `master ${this.pid} has just ended`);
    if (answer.ok !== false) return answer;
    throw Object.assign(new Failure(FAILED, `master ${this.pid}: ${answer.message}`), { answer });
  }

  /** Whether it has let go of its socket, or loses it within so many ms. */
  async isGone(within = 0) {
    for (const until = Date.now() + within; ;) {
      if (await isRefused(this.#address())) return true;
      if (Date.now() > until) return false;
      await after(RETRY_MS);
    }
  }

  #address() {
    const name = `master.${this.pid}.sock`;
    const address = path.join(this.#dir, name);
    if (Buffer.byteLength(address) <= LONGEST_ADDRESS) return address;
    // A socket's address is short: from within the directory the name alone will do.
    process.chdir(this.#dir);
    return name;
  }

  #notAllowed() {
    return new Failure(NOT_ALLOWED, `master ${this.pid} is another user's: only that user and root may ask it`);
  }
}

/**
 * The masters that are meant, by ascending pid, each with its `status` or with the `problem` that hindered that. Where
 * there is none, it throws a Failure that says what is there instead.
 */
async function find({ dir, pid, within = ANSWER_MS }) {
  const pids = pidsIn(dir);
  const other = fallbackOf(dir);
  const masters = pids.sockets.map((each) => new Master(dir, each));
  if (other) masters.push(...pidsIn(other).sockets.map((each) => new Master(other, each)));
  masters.sort((one, next) => one.pid - next.pid);
  await Promise.all(masters.map((master) => master.look(Math.min(within, ANSWER_MS))));
  const there = masters.filter(({ status, problem }) => status ?? problem);
  const meant = there.filter((master) => pid === undefined || pid === master.pid);
  if (meant.length === 0) throw new Failure(NOT_RUNNING, whatIsThere(dir, pids, pid, there));
  return meant;
}

/** Does it for each master that can be asked; fails, when all are done, with the first failure. */
async function all(masters, deed) {
  const results = await Promise.allSettled(masters.map(async (master) => {
    if (master.problem) throw master.problem;
    return deed(master);
  }));
  const failed = results.filter(({ status }) => status === 'rejected');
  for (const { reason } of failed.slice(1)) say(`cluster2: ${reason.message}`);
  if (failed.length > 0) throw failed[0].reason;
}

module.exports = { Master, find, all };

// The directory that takes the place of `dir`, if it is there and only this user can write in it.
function fallbackOf(dir) {
  const uid = process.geteuid();
  const name = `cluster2-${uid}-${hashOf(realPathOf(dir)).toString(16).padStart(16, '0')}`;
  const found = path.join(process.env.TMPDIR || '/tmp', name);
  const facts = fs.lstatSync(found, { throwIfNoEntry: false });
  const isSafe = facts?.isDirectory() && facts.uid === uid && (facts.mode & 0o022) === 0;
  return isSafe ? found : undefined;
}

// The path without links, as far as it exists.
function realPathOf(dir) {
  try {
    return fs.realpathSync(dir);
  } catch {
    const parent = path.dirname(dir);
    return parent === dir ? dir : path.join(realPathOf(parent), path.basename(dir));
  }
}

// FNV-1a with 64 bits.
function hashOf(text) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

function pidsIn(dir) {
  let names;
  try {
    names = fs.readdirSync(dir);
  } catch (error) {
    if (error.code === 'ENOENT') return { sockets: [], files: [], isMissing: true };
    const status = error.code === 'EACCES' ? NOT_ALLOWED : FAILED;
    throw new Failure(status, `the directory ${dir} can't be read: ${error.message}`);
  }
  const of = (kind) => names.map((name) => NAME.exec(name)).filter((match) => match?.[2] === kind)
    .map(([, pid]) => Number(pid)).sort((one, other) => one - other);
  return { sockets: of('sock'), files: of('pid'), isMissing: false };
}

function whatIsThere(dir, { sockets, files, isMissing }, pid, masters) {
  const hint = "--pids says where the application's option `pids` points to";
  if (isMissing) return `nothing runs: there is no directory ${dir} (${hint})`;
  if (masters.length > 0) {
    return `no master ${pid} runs in ${dir}; there is ${masters.map((master) => master.pid).join(', ')}`;
  }
  const left = new Set([...sockets, ...files]);
  if (left.size === 0) return `nothing runs: there is no master in ${dir} (${hint})`;
  return `nothing runs: in ${dir} there are only files of masters that are gone (${[...left].join(', ')})`;
}

function understood(text) {
  if (text !== '') return JSON.parse(text);
  // It closes the connection without a word when it ends, and to whoever it does not serve.
  throw Object.assign(new Error('it closed the connection'), { code: 'ECONNREFUSED' });
}

// Sends one line and gives all that comes back.
function converse(address, line, within, signal) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ path: address });
    signal?.addEventListener('abort', () => socket.destroy(new Error('nobody waits any more')));
    const timer = Number.isFinite(within) && setTimeout(() => {
      socket.destroy(new Error('it took too long'));
    }, Math.max(within, 0));
    let text = '';
    socket.setEncoding('utf8').on('data', (part) => {
      text += part;
      if (text.length > ANSWER_LIMIT) socket.destroy(new Error('its answer is too long'));
    });
    socket.on('end', () => resolve(text)).on('error', reject).on('close', () => clearTimeout(timer));
    socket.write(`${line}\n`);
  });
}

function isRefused(address) {
  return new Promise((resolve) => {
    const socket = net.connect({ path: address });
    socket.on('connect', () => { socket.destroy(); resolve(false); });
    socket.on('error', (error) => resolve(GONE.includes(error.code)));
  });
}
