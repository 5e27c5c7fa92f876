// The `Cluster` class: an EventEmitter in front of one of four roles.
//
// The same script runs in the master and, run again, in each worker; `listen` finds out which it is and hands over to
// lib/master/master.js, lib/worker/worker.js, (with `cluster: false`) lib/single.js or (in a worker that runs a
// script as it is) lib/worker/guest.js. This file keeps no state of supervision. Every worker loads this file before it
// listens. Modules that few workers need are required where they are used.
'use strict';

const { EventEmitter } = require('node:events');

const { callApplication } = require('./shared/call-application');
const errors = require('./shared/errors');
const { load } = require('./shared/native');
const { encode } = require('./shared/options-json');
const copy = require('./shared/whose-worker');
require('./shared/timers');
require('./shared/nexttick-workaround');

// How long another master may take to answer before it is ended by signal.
const ANSWER_MS = 2000;
// What scripts may take off a cluster: `const { stop } = c`.
const METHODS = ['listen', 'stop', 'shutdown', 'reload', 'cancelReload', 'scale', 'disable', 'enable', 'metrics',
  'addresses', 'cleanup', 'delegate', 'handle', 'componentStatus'];
// Says that what `componentStatus` promises is there.
const COMPONENTS = 'component-status-initialized';

const UNDEFINED = 'option `cluster` is undefined, which means one process without workers, as it did in cluster2; ' +
  'leave it out, or set it to true, to have workers';
const GUEST = 'this process is a worker that runs the script as it is (`cluster2 start`, or the option `exec`): its ' +
  'Cluster serves in this worker, without workers and without monitor; start such a script with `node`';
const FOREIGN = "this process is a worker of another cluster, such as PM2's cluster mode: it serves by itself, " +
  'without workers and without monitor; start the script with `node` or `cluster2 start` to have both';

const { awaitsSocket, board, endsBy, host, isForeign, isWorker, servers } = copy;
const isGuest = host !== undefined;
let listening = false;

class Cluster extends EventEmitter {
  #role;
  #parsed;
  #given;
  #monApp;
  #validator;
  #metrics;
  // In the master, once a master runs or a handler is given.
  #delegations;
  #client;
  #components;
  #cleanups = host?.cleanups ?? [];

  /**
   * Checks the options and remembers them; nothing is opened before `listen`.
   * `c.options` shows the defaults with the given options over them. Changing it has no effect: the options were parsed
   * here.
   */
  constructor(options = {}) {
    super();
    if (copy.otherCopy) throw errors.createError('ERR_CLUSTER2_OTHER_VERSION', copy, copy.otherCopy);
    for (const name of METHODS) Object.defineProperty(this, name, { value: this[name].bind(this), writable: true });
    const given = options ?? {};
    const { monApp, rest, notes } = understood(given);
    this.#monApp = monApp;
    this.#given = encode(rest);
    this.#validator = given.ecv?.validator;
    const { options: parsed, warnings } = checked(() => native().parseOptions(this.#given));
    this.#parsed = Object.freeze({ ...parsed, connThresholdGiven: Number(given.connThreshold) > 0 });
    this.options = { ...legacyDefaults(), ...given };
    if (isWorker) tellMaster({ act: 'announces' });
    if (!isWorker) {
      const all = [...warnings.map((text) => [text, 'CLUSTER2_UNKNOWN_OPTION']), ...notes];
      for (const [text, code] of all) process.emitWarning(text, { code });
    }
  }

  /** As `new Cluster(options).listen(createApp, callback)`, for scripts of cluster2 0.2. */
  static listen(options, createApp, callback) {
    return new Cluster(options).listen(createApp, callback);
  }

  /**
   * Runs `createApp` and serves what it hands over: in the master by workers, in a worker by itself. With the option
   * `exec` there is no `createApp`: workers run that script as it is. Returns `this`.
   */
  listen(createApp, callback) {
    if (this.#parsed.stop) return this.#endFromOutside('SIGKILL', () => this.stop());
    if (this.#parsed.shutdown) return this.#endFromOutside('SIGTERM', () => this.shutdown());
    const { exec } = this.#parsed;
    if (exec === null && typeof createApp !== 'function') {
      throw errors.createError('ERR_CLUSTER2_CREATE_APP', createApp);
    }
    if (exec !== null && createApp) throw errors.createError('ERR_CLUSTER2_CREATE_APP_UNUSED', exec);
    if (listening) throw errors.createError('ERR_CLUSTER2_ALREADY_LISTENING');
    const Role = this.#roleClass();
    listening = true;
    this.#role = new Role(this, {
      createApp,
      callback,
      monApp: this.#monApp,
      board,
      servers,
      awaitsSocket,
      cleanups: this.#cleanups,
      raw: this.#given,
      parsed: this.#parsed,
      validator: this.#validator,
      metrics: () => this.#appMetrics(),
      client: () => this.#client,
      delegations: () => this.#masterDelegations(),
      onComponents: (status) => this.#componentsReady(status),
      wantsComponents: () => this.#components !== undefined || this.listenerCount(COMPONENTS) > 0,
    });
    if (isWorker) endsBy(() => this.#role.end());
    // What fails here is the script's own failure: it ends the process as any uncaught exception would.
    this.#role.run().catch((error) => process.nextTick(() => { throw error; }));
    return this;
  }

  /**
   * Kills the cluster at once: this one, when called in its master, else every live one of the `pids` directory.
   * In a worker it does nothing. Resolves when the masters are gone.
   */
  async stop() {
    if (isWorker || isGuest) return undefined;
    return this.#role?.stop ? this.#role.stop() : this.#endOthers(false);
  }

  /**
   * Stops taking new connections, finishes the requests under way and ends the cluster. Chooses the cluster as `stop`
   * does. From another process it resolves when no new connection gets in any more.
   */
  async shutdown() {
    if (isWorker || isGuest) return undefined;
    return this.#role?.shutdown ? this.#role.shutdown() : this.#endOthers(true);
  }

  /**
   * Replaces every worker by one that runs the code that is on disk now; only in the master.
   * Resolves with `{workers: [{slot, oldPid, newPid, startMs, readyMs, goneMs}], ms}`; a call while one runs joins it.
   */
  async reload(options) {
    if (!this.#role?.reload) throw notRunning();
    return this.#role.reload(options);
  }

  /** Calls off the reload that is under way; only in the master. Rejects with ERR_CLUSTER2_NO_RELOAD without one. */
  async cancelReload() {
    if (!this.#role?.cancelReload) throw notRunning();
    await this.#role.cancelReload();
  }

  /** Has `workers` workers from now on; only in the master. Resolves with `{wanted}` when that is decided. */
  async scale(workers) {
    if (!this.#role?.scale) throw notRunning();
    return this.#role.scale({ workers });
  }

  /**
   * Takes the cluster out of rotation: from when this resolves, every answer on the ECV path says DISABLED, whichever
   * worker gives it. `reason` is kept and shown on the monitor. In the master and in workers.
   */
  async disable(reason) {
    await this.#rotate(true, reason);
  }

  /** Puts the cluster back. */
  async enable() {
    await this.#rotate(false);
  }

  /**
   * Adds to `/metrics` what `fn` gives (text in Prometheus' format, or a promise of it). It is asked once a second; in
   * workers it is ignored. Returns `this`.
   */
  metrics(fn) {
    this.#appMetrics()?.add(fn);
    return this;
  }

  /**
   * Has `task()` run at the end of this process, in the master and in each worker, after the last answer is out. What
   * it returns is awaited; several run in the order in which they were given. Returns `this`.
   */
  cleanup(task) {
    if (typeof task !== 'function') {
      throw errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'task', 'a function', task);
    }
    this.#cleanups.push(task);
    return this;
  }

  /** What was really bound: `{app: [...], monitor}`; port 0 is a number here. Empty where nothing listens yet. */
  addresses() {
    return this.#role?.addresses?.() ?? { app: [], monitor: null };
  }

  #rotate(disabled, reason) {
    if (!this.#role?.rotate) throw notRunning();
    return this.#role.rotate(disabled, reason);
  }

  /**
   * Asks the master: what was given to `handle`, or to `on`, under the name `type` gets the payload. Resolves with its
   * answer; rejects with ERR_CLUSTER2_DELEGATE_TIMEOUT or ERR_CLUSTER2_DELEGATE_FAILED.
   */
  delegate(type, payload, options) {
    this.#client ??= clientFor(this.#masterDelegations());
    return this.#client.ask(type, payload, options ?? {});
  }

  /**
   * In the master: from now on `answer(payload, message)` answers what is delegated as `type`; it may give a promise.
   * The last one given for a type counts. In a worker it does nothing, so that a script may call it everywhere.
   */
  handle(type, answer) {
    if (typeof type !== 'string' || type === '') {
      throw errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'type', 'a name', type);
    }
    if (typeof answer !== 'function') {
      throw errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'answer', 'a function', answer);
    }
    this.#masterDelegations()?.handle(type, answer);
    return this;
  }

  /**
   * What the processes of the cluster say of themselves. Resolves when `component-status-initialized` is emitted: in
   * the master before it forks, in a worker when it listens.
   */
  componentStatus() {
    this.#components ??= deferred();
    this.#role?.startComponents?.();
    return this.#components.promise;
  }

  /** As of any EventEmitter; in the master an event may be the answer that a worker waits for. */
  emit(event, ...args) {
    const isAnswer = this.#delegations?.heard(event, args[0]) ?? false;
    const isHeard = this.listenerCount(event) > 0;
    const isTold = isHeard || isWorker || isGuest;
    if (event === 'warning' && !isTold) require('./master/unheard-warnings').printOnce(args[0]);
    // An answer has somebody who listens for it, even if it is named 'error'.
    if (isAnswer && !isHeard) return true;
    return super.emit(event, ...args) || isAnswer;
  }

  #appMetrics() {
    if (!isWorker) this.#metrics ??= new (require('./master/app-metrics').AppMetrics)();
    return this.#metrics;
  }

  #masterDelegations() {
    if (!isWorker) this.#delegations ??= new (require('./delegation/delegations').Delegations)(this);
    return this.#delegations;
  }

  #componentsReady(status) {
    this.#components ??= deferred();
    this.#components.resolve(status);
    callApplication(() => this.emit(COMPONENTS, status));
  }

  #roleClass() {
    if (isWorker) return require('./worker/worker').Worker;
    if (isGuest) return require('./worker/guest').Guest;
    if (!this.#parsed.cluster) return require('./single').Single;
    // A thread gets no signals, and takes itself for no worker.
    if (!require('node:worker_threads').isMainThread) throw errors.createError('ERR_CLUSTER2_NOT_MAIN_THREAD');
    return require('./master/master').Master;
  }

  #endFromOutside(signal, end) {
    this.emit(signal);
    end().catch((error) => process.nextTick(() => { throw error; }));
    return this;
  }

  async #endOthers(gracefully) {
    const done = await native().stopMasters(this.#parsed.pids, gracefully, ANSWER_MS);
    if (done.errorCode) throw new errors.Cluster2Error(done.errorCode, done.errorText);
    return { masters: done.masters };
  }
}

function tellMaster(message) {
  require('./worker/send-to-master').tell(message);
}

// What the options are understood as: those to be parsed, the app for the monitor's port, which cluster2 took as
// `monitor`, and warnings with their codes.
function understood(given) {
  if (typeof given !== 'object') return { rest: given, notes: [] };
  const { monitor, ...others } = given;
  const hasApp = monitor !== undefined && require('./shared/create-app').isApp(monitor);
  const rest = hasApp ? others : { ...given };
  const notes = [];
  if ('cluster' in given && given.cluster === undefined) {
    rest.cluster = false;
    notes.push([UNDEFINED, 'CLUSTER2_UNDEFINED_OPTION']);
  }
  if (isForeign || isGuest) {
    Object.assign(rest, { cluster: false, monPort: false, exec: undefined });
    notes.push(isGuest ? [GUEST, 'CLUSTER2_GUEST_CLUSTER'] : [FOREIGN, 'CLUSTER2_FOREIGN_CLUSTER']);
  }
  return { rest, monApp: hasApp ? monitor : undefined, notes };
}

function clientFor(delegations) {
  const { clientOfMaster, clientOfWorker } = require('./delegation/client');
  return isWorker ? clientOfWorker() : clientOfMaster(delegations);
}

function notRunning() {
  return require('./shared/pending-calls').notRunning();
}

function deferred() {
  let resolve;
  const promise = new Promise((settle) => { resolve = settle; });
  return { promise, resolve };
}

// What the addon throws, as an error of this package.
function checked(call) {
  try {
    return call();
  } catch (error) {
    throw errors.fromNative(error);
  }
}

// Loaded on first use, so that `require` itself says clearly what is missing and costs little.
function native() {
  return load();
}

// Parsed, `port` is a list; scripts that read the default know a number.
function defaultOptions() {
  const defaults = native().defaultOptions();
  return { ...defaults, port: defaults.port[0] };
}

// `c.options` shows what cluster2 showed: the defaults, shallowly overlaid.
function legacyDefaults() {
  const { cluster, port, monPort, ecv, monPath, noWorkers, pids, logs } = Cluster.defaultOptions;
  return { cluster, port, monPort, ecv, monPath, noWorkers, pids, logs };
}

Object.defineProperty(Cluster, 'version', { get: () => require('../package.json').version, enumerable: true });
Object.defineProperty(Cluster, 'defaultOptions', { get: defaultOptions, enumerable: true });

load();

module.exports = Cluster;
