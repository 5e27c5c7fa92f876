// The master's side of JavaScript: starts the native supervisor and turns its events into those of cluster2.
//
// Everything that must go on while this event loop is blocked happens in Rust; here are only the things that the
// application sees: events, messages, signals, and the process's own end.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const { debuglog } = require('node:util');

const { callApplication } = require('../shared/call-application');
const { Calls, notRunning, reloadFailed, textOf } = require('../shared/pending-calls');
const { killSelf } = require('../shared/kill-self');
const { encode } = require('../shared/options-json');
const errors = require('../shared/errors');
const { load } = require('../shared/native');
const { onMissing } = require('../shared/node-internals');
const { wantsOf } = require('../shared/ports');
const { say } = require('../shared/stderr');
const { INTERNAL } = require('../worker/send-to-master');
const { Launcher } = require('./worker-settings');
const { clearInterval, performance, setImmediate, setInterval, setTimeout } = require('../shared/timers');

const debug = debuglog('cluster2');

// A second signal ends the cluster at once, but only when it comes this much later: Ctrl-C reaches a process
// twice when npm passes it on.
const SECOND_SIGNAL_MS = 1000;
// How long a stop waits for the deaths of its workers, so as to report them.
const STOP_MS = 500;
// How long the application may clean up in the master when the cluster has been shut down.
const CLEANUP_MS = 2000;

class Master {
  #cluster;
  #setup;
  #native;
  #workers;
  #keepAlive;
  #launcher;
  #calls = new Calls();
  #firstSignalAt;
  #hub;
  #components;
  #monitor;
  #ended = new Set();
  // The addresses of a script that workers run as it is, by what is said of them.
  #bound = new Map();
  #ending;
  // Another process asked for the shutdown, which has been told as SIGTERM.
  #wasAsked = false;
  // The signal that the application's listeners are told of in the end.
  #signal = 'SIGTERM';
  // Told when the first workers are forked.
  #onStarted;
  #isStopping = false;
  #isShuttingDown = false;

  constructor(cluster, setup) {
    this.#cluster = cluster;
    this.#setup = setup;
  }

  async run() {
    const { parsed, raw } = this.#setup;
    const script = parsed.exec === null ? undefined : new (require('./script').Script)(raw, parsed);
    this.#launcher = new Launcher(parsed, script);
    const start = this.#launcher.settings();
    const { apps, monApp } = script ? { apps: [], monApp: this.#setup.monApp } : await this.#handedOver();
    if (parsed.monPort && (!script || monApp)) await this.#monitorRequests().use(monApp);
    this.#onStarted = () => this.#setup.callback?.(apps, monApp);
    try {
      // A script that workers run as it is says itself where it listens.
      const wants = script ? [] : wantsOf(apps, await addressOf(parsed.host), parsed);
      this.#native = load().Master.prepare(encode(raw), start, wants);
      process.once('exit', () => this.#close());
      // Before there are workers, so that no signal ends the master without them.
      this.#handleSignals();
      // The first workers start while the rest of this is loaded; no event of theirs comes before this turn is over.
      this.#native.start((...event) => this.#receive(...event), this.#monitor?.hasApp ?? false);
    } catch (error) {
      return require('./refuse-port').refusePort(this.#cluster, errors.fromNative(error));
    }
    onMissing((message) => this.#warn(message));
    const { NodeCluster } = require('./node-cluster');
    this.#workers = new NodeCluster(this.#native);
    const isWorker = (pid) => Object.hasOwn(this.#workers.byPid, pid);
    this.#setup.delegations().start((...given) => this.#workers.reach(...given), isWorker);
    this.#startComponents();
    // The native callback is weak: this timer says that a master without workers still has a monitor to serve.
    this.#keepAlive = setInterval(() => {}, 0x7fffffff);
    process.cluster = { clustered: true, emitter: this.#cluster, workers: this.#workers.byPid };
    this.#setup.metrics().start((text) => this.#native.setAppMetrics(text), (message) => this.#warn(message));
    return undefined;
  }

  // What `createApp` hands over.
  async #handedOver() {
    const { createApp, monApp: usual } = this.#setup;
    const { serialization = 'json' } = require('node:cluster').settings;
    if (serialization !== 'json') throw errors.createError('ERR_CLUSTER2_SERIALIZATION', serialization);
    const { collectApps } = require('../shared/create-app');
    const warn = (message) => this.#warn(message);
    const { apps, monApp } = await collectApps(createApp, { monApp: usual, warn });
    for (const { app } of apps) {
      if (app.listening) throw errors.createError('ERR_CLUSTER2_APP_LISTENING', JSON.stringify(app.address()));
    }
    return { apps, monApp };
  }

  // Made when it is needed.
  #monitorRequests() {
    if (!this.#monitor) {
      const { MonitorRequests } = require('./monitor-requests');
      this.#monitor = new MonitorRequests((...asked) => this.query(...asked), (message) => this.#warn(message));
    }
    return this.#monitor;
  }

  #startComponents() {
    const { ComponentHub } = require('../components/hub');
    const { ComponentStatus } = require('../components/status');
    this.#hub = new ComponentHub((pid, fact) => {
      this.#workers.reach(JSON.stringify({ cmd: INTERNAL, act: 'component', fact }), [pid]);
    }, (message) => this.#warn(message));
    this.#components = new ComponentStatus(this.#hub, `m${process.pid}`);
    this.#hub.start((question) => this.#components.answer(question));
    this.#setup.onComponents(this.#components);
  }

  /** For the monitor: the names of all components or, with a name, what all processes or one say of it. */
  query(component, worker, params) {
    return require('../components/status').query(this.#components, component, worker, params);
  }

  addresses() {
    const { app, monitor } = this.#native?.addresses() ?? { app: [], monitor: null };
    return { app: app.length > 0 ? app : [...this.#bound.values()], monitor };
  }

  // Where the script of workers listens is known when the first one does.
  #serverListens(worker, { address, any }) {
    if (this.#setup.parsed.exec !== null) {
      const bound = boundAt(address, any);
      this.#bound.set(JSON.stringify(bound), bound);
    }
    worker?.serverListening(address);
  }

  /** Kills the workers, says `died` for each, and ends this process by SIGKILL, as cluster2 did. */
  stop() {
    this.#isStopping = true;
    // Nothing was begun yet.
    if (!this.#native) killSelf();
    this.#native.stop();
    setTimeout(() => {
      this.#native.close();
      this.#end();
    }, STOP_MS);
    return this.#untilEnded();
  }

  /** Drains the workers, says `died` for each, and exits with 0. */
  shutdown() {
    this.#shutDown();
    return this.#untilEnded();
  }

  #shutDown() {
    this.#isShuttingDown = true;
    // Nothing was begun yet.
    if (!this.#native) process.exit();
    this.#native.shutdown();
  }

  /** Takes the cluster out of rotation, or puts it back; resolves once every worker's next answer goes by it. */
  rotate(disabled, reason) {
    return this.#rotate(disabled, `${disabled ? 'disable' : 'enable'}() in the master`, reason);
  }

  /** Replaces every worker by a fresh one; `options` are `{env, strategy}`. */
  reload(options) {
    return this.#calls.make((ticket) => {
      if (!this.#native) throw notRunning();
      this.#native.reload(encode(options), this.#settings(), ticket);
    });
  }

  /** Calls off the reload that is under way. */
  cancelReload() {
    return this.#calls.make((ticket) => {
      if (!this.#native) throw notRunning();
      this.#native.cancelReload(ticket);
    });
  }

  /** Changes the number of workers: `{workers}` or `{by}`. */
  scale(change) {
    return this.#calls.make((ticket) => {
      if (!this.#native) throw notRunning();
      this.#native.scale(encode(change), ticket);
    });
  }

  #settings() {
    try {
      return this.#launcher.settings();
    } catch (cause) {
      throw reloadFailed(cause);
    }
  }

  // The supervisor waits for it a moment, and without it starts workers as it did before.
  #tellLaunch() {
    try {
      this.#native.tellLaunch(this.#launcher.settings(), null);
    } catch (error) {
      this.#native.tellLaunch(null, error.message);
    }
  }

  #untilEnded() {
    return new Promise((resolve) => this.#ended.add(resolve));
  }

  #handleSignals() {
    const { Ending } = require('../shared/application-end');
    this.#ending = new Ending(this.#setup.cleanups, (problem) => this.#warn(problem));
    this.#ending.hearSignals((signal) => {
      this.#onSignal(signal, ...(signal === 'SIGTERM' ? [{ pid: process.pid, type: 'master' }] : []));
    });
    // Who signals gets no promise: what fails has been told as a warning, and during a shutdown there is
    // nothing to tell.
    process.on('SIGUSR2', (signal) => {
      if (!require('./diagnostic-signal').isDiagnostic(signal)) this.reload().catch(() => {});
    });
    process.once('SIGUSR2', () => {
      const { ADVICE, isBelowNodemon } = require('./nodemon');
      if (isBelowNodemon()) this.#warn(ADVICE);
    });
    process.on('SIGTTIN', () => this.scale({ by: 1 }).catch(() => {}));
    process.on('SIGTTOU', () => this.scale({ by: -1 }).catch(() => {}));
  }

  #onSignal(signal, ...args) {
    const now = performance.now();
    const isFirst = this.#firstSignalAt === undefined;
    if (!isFirst && now - this.#firstSignalAt < SECOND_SIGNAL_MS) return;
    this.#firstSignalAt ??= now;
    this.#signal = signal;
    // Whoever asks for the shutdown in another process may send the signal as well.
    if (!isFirst || !this.#wasAsked || signal !== 'SIGTERM') this.#tell(signal, ...args);
    if (isFirst && !this.#isShuttingDown) {
      // The order to drain does not say which signal has come.
      this.#workers.reach(JSON.stringify({ cmd: INTERNAL, act: 'signal', signal }));
      this.#workers.flush();
      this.#shutDown();
    } else if (!isFirst) {
      // Whoever signals twice has waited long enough.
      say(`cluster2: second ${signal}, ending at once`);
      this.#native.close();
      process.exit(128 + os.constants.signals[signal]);
    }
  }

  #receive(event, id, text, fd) {
    if (event === 'messages') return this.#receiveMessages(id, text);
    if (event === 'handleMessage') return this.#receiveHandle(id, text, fd);
    debug('%s worker=%d %s', event, id, text);
    const facts = JSON.parse(text);
    const worker = this.#workers.get(id);
    switch (event) {
      case 'forked':
        this.#workers.forked(id, facts.pid);
        return this.#tell('forked', facts.pid);
      case 'started': return callApplication(this.#onStarted);
      case 'online': return worker?.online();
      case 'serverListening': return this.#serverListens(worker, facts);
      case 'listening': return this.#tell('listening', facts.pid);
      case 'spare': return this.#tell('spare', facts.pid);
      case 'disconnected': return worker?.disconnected();
      case 'leavesOnPurpose': return worker?.leavesOnPurpose();
      case 'monitorRequest': return this.#monitorRequests().take(facts, fd);
      case 'component': return this.#hub.hear(worker?.process.pid, facts);
      case 'died': return this.#buried(worker, facts);
      case 'hung': return this.#hung(facts);
      case 'heartbeat': return this.#beat(facts);
      case 'warning': return this.#tell('warning', { message: facts.message, ...facts.facts });
      case 'answered': return this.#calls.answered(id, facts);
      case 'noted': return this.#tell('note', facts);
      case 'launchAsked': return this.#tellLaunch();
      case 'shutdownAsked':
        if (this.#isShuttingDown) return undefined;
        this.#isShuttingDown = this.#wasAsked = true;
        return this.#tell('SIGTERM', { pid: process.pid, type: 'master' });
      case 'stopAsked':
        this.#isStopping = true;
        return undefined;
      case 'ended': return this.#end();
      default: return undefined;
    }
  }

  #warn(message) {
    this.#tell('warning', { message });
  }

  #tell(event, ...args) {
    callApplication(() => this.#cluster.emit(event, ...args));
  }

  #beat({ usertime, systime, uptime, ...rest }) {
    const memory = { totalmem: os.totalmem(), freemem: os.freemem() };
    this.#tell('heartbeat', { pid: process.pid, usertime, systime, uptime, ...memory, ...rest });
  }

  #buried(worker, { pid, code, signal, reason, left: { requests, row } }) {
    this.#setup.delegations().gone(pid);
    this.#hub.gone(pid);
    worker?.exited(code, signal);
    this.#tell('died', pid, { code, signal, reason, requests, row });
  }

  #hung({ pid, ms, stack }) {
    this.#tell('hung', pid, stack === null ? { ms } : { ms, stack });
  }

  #receiveMessages(id, text) {
    const worker = this.#workers.get(id);
    worker?.process.read(text, (message) => this.#dispatch(worker, message));
  }

  #receiveHandle(id, text, fd) {
    const worker = this.#workers.get(id);
    if (worker) worker.process.readWithHandle(text, fd, (...said) => this.#dispatch(worker, ...said));
    else fs.closeSync(fd);
  }

  #dispatch(worker, message, handle) {
    // cluster2's own: one worker's command reaches all, two of them are about rotation, and a worker may ask for its
    // successor.
    if (message?.command) this.#workers.reach(JSON.stringify(message));
    if (message?.command === 'disable' || message?.command === 'enable') this.#obeyCommand(worker, message.command);
    if (message?.type === 'suicide') this.#native.recycle(worker.id);
    if (message?.type === 'delegate') {
      // Several by `c.delegate`, from one turn of the worker.
      if (typeof message.questions === 'string') {
        worker.process.read(message.questions, (question) => this.#dispatch(worker, question));
        return;
      }
      this.#setup.delegations().asked(worker.process, message);
    }
    worker.said(message, handle);
  }

  // Also after a start that failed, when there are no workers yet.
  #close() {
    this.#workers?.flush();
    this.#native.close();
  }

  #rotate(disabled, by, reason) {
    return this.#calls.make((ticket) => {
      if (!this.#native?.rotate(ticket, disabled, by, textOf(reason))) throw notRunning();
    });
  }

  #obeyCommand(worker, command) {
    // Nobody waits for it; and where the cluster has ended, nothing needs to be done.
    this.#rotate(command === 'disable', `a message of worker ${worker.process.pid}`).catch(() => {});
  }

  #end() {
    this.#calls.end();
    clearInterval(this.#keepAlive);
    for (const resolve of this.#ended) resolve();
    if (this.#isStopping) killSelf();
    if (this.#ended.size === 0 && !this.#ending.isNeeded) {
      setImmediate(() => process.exit());
      return;
    }
    // The process ends when its loop is empty.
    setTimeout(() => process.exit(), CLEANUP_MS).unref();
    this.#ending.run(this.#signal);
  }
}

module.exports = { Master };

// What Node says of a server that listens, in the form of `addresses()`. `any` is what was bound for one that named no
// address; Node calls that IPv4, whatever it is.
function boundAt({ address, port, addressType }, any) {
  // Node puts the directory before an abstract name as well, which begins with a zero byte.
  if (addressType === -1) return { kind: 'unix', address: null, port: null, path: address.replace(/^.*(?=\0)/s, '') };
  if (any) return { kind: any.includes(':') ? 'tcp6' : 'tcp4', address: any, port, path: null };
  const kind = String(addressType).startsWith('udp') ? addressType : `tcp${addressType}`;
  return { kind, address: address ?? (kind.endsWith('6') ? '::' : '0.0.0.0'), port, path: null };
}

// As `listen` resolves it in the workers.
async function addressOf(host) {
  if (require('node:net').isIP(host)) return host;
  return (await require('node:dns').promises.lookup(host)).address;
}
