// What `cluster2 start` says: what runs and where at the start, then one line for each change of state.
//
// lib/cli/start/start.js makes one `Announcer` in the master. Lines for people, or with `--json` one object each, go to
// stdout, problems to stderr; `--quiet` leaves the problems. Workers that keep crashing are told of together, in one
// line with the reason and the next try. Owns a timer that keeps nothing alive.
'use strict';

const nodeCluster = require('node:cluster');
const path = require('node:path');

const { plain } = require('../plain');
const { print } = require('../stdout');
const { counted, span } = require('../table');
const { COMMAND } = require('../usage');
const { say } = require('../../shared/stderr');
const { version } = require('../../../package.json');

// A death is told a moment later, since what follows from it may say more.
const GATHER_MS = 60;
// From so many deaths in a row on the pauses are long, and each is told of.
const PAUSES_GROW_UNTIL = 10;

class Announcer {
  #cluster;
  #options;
  #began;
  #isJson;
  #isQuiet;
  #source;
  // The monitor's, once it is there.
  #url;
  #ids = new Map();
  #forkedAt = new Map();
  #serving = new Set();
  #hasServed = false;
  #isEnding = false;
  #deaths = [];
  #loops = [];
  // By reason, what was told last of workers that die for it: `{failures, slots}`.
  #told = new Map();
  #gathering;

  constructor(cluster, options, { began, isJson, isQuiet, source }) {
    this.#cluster = cluster;
    this.#options = options;
    this.#began = began;
    this.#isJson = isJson;
    this.#isQuiet = isQuiet;
    this.#source = source;
  }

  /** Hears everything from now on. */
  begin() {
    const cluster = this.#cluster;
    // Whoever reads may have seen enough (`| head`).
    process.stdout.on('error', () => {});
    cluster.on('forked', (pid) => this.#forked(pid));
    cluster.on('listening', (pid) => this.#listens(pid));
    cluster.on('spare', (pid) => this.#say('spare', this.#facts(pid), `${this.#named(pid)} stands by`));
    cluster.on('died', (pid, how) => this.#died(pid, how));
    cluster.on('hung', (pid, { ms, stack }) => {
      const stands = `${this.#named(pid)}: its event loop has stood still for ${span(ms)}; it is being replaced`;
      this.#complain('hung', { ...this.#facts(pid), ms, stack }, stands);
    });
    cluster.on('warning', (warning) => this.#warned(warning));
    cluster.on('note', ({ event, pid, text }) => this.#noted(event, pid, text));
    cluster.on('SIGTERM', () => this.#ends('SIGTERM'));
    cluster.on('SIGINT', () => this.#ends('SIGINT'));
    process.on('exit', (code) => {
      this.#flush();
      if (this.#isEnding) this.#say('ended', { code }, `ended with exit status ${code}`);
    });
  }

  /** The master has forked its first workers. */
  started() {
    const { args = [], exec, name } = this.#options;
    const workers = this.#ids.size;
    const { monitor } = this.#cluster.addresses();
    const url = monitor && `http://${hostOf(monitor)}:${monitor.port}${this.#options.monPath ?? '/'}`;
    this.#url = url;
    const facts = { version, pid: process.pid, name, script: exec, args, workers, monitor: url, config: this.#source };
    const called = name === undefined ? '' : ` '${plain(String(name))}'`;
    const from = this.#source === undefined ? '' : `, as ${this.#source} says`;
    const script = [exec, ...[args].flat()].join(' ');
    this.#say('started', facts, `${version} runs ${plain(script)}${called} in ${counted(workers)}${from}; ` +
      `this master is process ${process.pid}`);
  }

  #forked(pid) {
    const [worker] = Object.values(nodeCluster.workers).filter((one) => one.process.pid === pid);
    this.#ids.set(pid, worker?.id);
    this.#forkedAt.set(pid, performance.now());
    if (this.#isJson) this.#say('forked', this.#facts(pid));
  }

  #listens(pid) {
    if (this.#serving.has(pid)) return;
    this.#serving.add(pid);
    this.#told.clear();
    const took = performance.now() - this.#forkedAt.get(pid);
    const facts = { ...this.#facts(pid), ms: Math.round(took) };
    this.#flush();
    if (this.#hasServed || this.#isJson) this.#say('serving', facts, `${this.#named(pid)} serves, after ${span(took)}`);
    if (!this.#hasServed && this.#serving.size >= this.#ids.size) this.#allServe();
  }

  // Once: what a person wants to know who has just typed the command.
  #allServe() {
    this.#hasServed = true;
    const addresses = this.#cluster.addresses().app.map(textOf);
    const workers = this.#serving.size;
    const took = performance.now() - this.#began;
    const where = addresses.length === 0 ? 'listening nowhere' : `on ${addresses.join(', ')}`;
    const facts = { workers, addresses, ms: Math.round(took), monitor: this.#url };
    const pids = path.relative('', path.resolve(this.#options.pids ?? 'pids'));
    const rest = pids === 'pids' ? '' : ` --pids ${pids}`;
    const serve = workers === 1 ? 'serves' : 'serve';
    const looks = ['status', 'top', ...this.#options.log ? ['logs -f'] : []];
    this.#say('ready', facts, `${counted(workers)} ${serve} ${where}, after ${span(took)}`, [
      ...this.#url ? [`  monitor  ${this.#url}`] : [],
      `  look     ${looks.map((look) => `${COMMAND} ${look}${rest}`).join(', ')}`,
      `  reload   ${COMMAND} reload --wait${rest}`,
      `  stop     Ctrl-C, or ${COMMAND} shutdown${rest}`,
    ]);
  }

  #died(pid, { code, signal, reason, requests }) {
    const facts = { ...this.#facts(pid), code, signal, reason, requestsLost: requests?.length ?? 0 };
    this.#deaths.push(facts);
    for (const known of [this.#serving, this.#ids, this.#forkedAt]) known.delete(pid);
    this.#gather();
  }

  #warned({ message, ...facts }) {
    if (facts.failures !== undefined && facts.reason) {
      this.#loops.push(facts);
      this.#gather();
      return;
    }
    // Told by what comes of it.
    if (facts.workers === 0) return void this.#noneLeft();
    if (this.#isJson) this.#complain('warning', { message, ...facts });
    else require('../../master/unheard-warnings').printOnce({ message });
  }

  #noted(event, pid, text) {
    if (this.#isEnding) return;
    this.#say(event, { ...pid === null ? {} : this.#facts(pid), text }, `${event}: ${text}`);
  }

  #ends(signal) {
    this.#isEnding = true;
    this.#say('ending', { signal }, `${signal}: no new connection gets in, workers finish what they have`);
  }

  // Every worker has ended by itself, with exit status 0, and is not wanted back.
  #noneLeft() {
    if (this.#isEnding) return;
    this.#flush();
    this.#isEnding = true;
    this.#say('ending', {}, 'every worker has ended by itself with exit status 0: nothing is left to do');
    this.#cluster.shutdown();
  }

  #gather() {
    this.#gathering ??= setTimeout(() => this.#flush(), GATHER_MS).unref();
  }

  #flush() {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    const [deaths, loops] = [this.#deaths, this.#loops];
    this.#deaths = [];
    this.#loops = [];
    const ofLoops = new Set(loops.map(({ pid }) => pid));
    const others = deaths.filter(({ pid }) => !ofLoops.has(pid));
    for (const alike of groupedBy(others, ({ reason }) => reason).values()) this.#tellDeaths(alike);
    for (const alike of groupedBy(loops, ({ reason }) => reason).values()) this.#tellLoop(alike);
  }

  #tellDeaths(alike) {
    if (this.#isJson) {
      for (const facts of alike) this.#say('died', facts);
      return;
    }
    const [{ code, reason }] = alike;
    // Told before, and more will be told when their next try has to wait.
    if (this.#told.has(reason)) return;
    if (code !== 0) this.#told.set(reason, { failures: 0, slots: new Set() });
    const lost = alike.reduce((sum, { requestsLost }) => sum + requestsLost, 0);
    const named = alike.map(({ pid, worker }) => `${worker} (${pid})`).join(', ');
    const who = alike.length === 1 ? `worker ${named} is` : `workers ${named} are`;
    const requests = lost === 1 ? '1 request' : `${lost} requests`;
    this.#say('died', undefined, `${who} gone: ${plain(reason)}${lost === 0 ? '' : `; ${requests} lost`}`);
  }

  #tellLoop(alike) {
    const [{ reason }] = alike;
    const told = this.#told.get(reason) ?? { failures: 0, slots: new Set() };
    this.#told.set(reason, told);
    for (const { slot } of alike) told.slots.add(slot);
    const failures = Math.max(...alike.map((one) => one.failures));
    // Slots that fail alike, one a little after the other, are told of together.
    if (failures <= told.failures && failures < PAUSES_GROW_UNTIL) return;
    told.failures = failures;
    const delay = Math.min(...alike.map((one) => one.delay));
    const slots = [...told.slots].sort((one, other) => one - other);
    const who = slots.length === 1 ? `slot ${slots[0]} keeps` : `slots ${slots.join(', ')} keep`;
    const why = `${plain(reason)}${this.#hint(reason)}`;
    this.#complain('crashing', { slots, failures, reason, nextTryMs: delay },
      `${who} crashing (${failures} deaths in a row): ${why}; next try in ${span(delay)}`);
  }

  // The script may want the very port that the monitor has taken.
  #hint(reason) {
    const { monitor } = this.#cluster.addresses();
    const isOurs = monitor && reason.includes('EADDRINUSE') && reason.endsWith(`:${monitor.port}`);
    return isOurs ? ' (the monitor has that port: give it another by --monitor)' : '';
  }

  #facts(pid) {
    return { worker: this.#ids.get(pid), pid };
  }

  #named(pid) {
    return `worker ${this.#ids.get(pid) ?? '?'} (${pid})`;
  }

  #say(event, facts, text, more = []) {
    if (this.#isJson) print(JSON.stringify({ time: new Date().toISOString(), event, ...facts }));
    else if (!this.#isQuiet && text !== undefined) print([`cluster2: ${text}`, ...more].join('\n'));
  }

  // `--quiet` leaves it.
  #complain(event, facts, text) {
    if (this.#isJson) this.#say(event, facts);
    else say(`cluster2: ${text}`);
  }
}

module.exports = { Announcer };

function hostOf({ address }) {
  return address.includes(':') ? `[${address}]` : address;
}

function textOf({ address, kind, path: file, port }) {
  if (file) return plain(file);
  const where = `${hostOf({ address })}:${port}`;
  return kind.startsWith('udp') ? `${where} (UDP)` : where;
}

function groupedBy(all, keyOf) {
  const groups = new Map();
  for (const one of all) groups.set(keyOf(one), [...groups.get(keyOf(one)) ?? [], one]);
  return groups;
}
