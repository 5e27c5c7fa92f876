// Runs in every worker: serves what createApp hands over, and ties the process to the master.
//
// Orders come as internal messages on the channel: `drain` (finish and go) and `end` (go at once). What the
// master should know goes back the same way. Signals only tell the master, which gives the order; without a
// master they drain. What is not needed to listen is loaded later, since each module delays the first answer.
'use strict';

const { callApplication } = require('../shared/call-application');
const { Balance } = require('./serving/balance');
const { countTransactions } = require('./counting/transactions');
const { drainAtDisconnect } = require('./drain/disconnect');
const { trapExceptions } = require('./exceptions');
const { startHeartbeat } = require('./heartbeat');
const { onClusterMessage } = require('../shared/node-internals');
const { portsOf } = require('../shared/ports');
const { tell, INTERNAL } = require('./send-to-master');
const { beginService } = require('./serve-and-end');
const { listenOnAll } = require('./serving/listening');
const { setTimeout } = require('../shared/timers');

// What the application sees when the master orders a drain that no signal announced, as in cluster2.
const SIGNAL_OF_ORDER = { shutdown: 'SIGTERM', recycle: 'SIGINT', leave: undefined };
// Looking after itself may wait until a worker has served its first clients, and others have started.
const SETTLE_MS = 1000;

class Worker {
  #cluster;
  #setup;
  #board;
  #servers;
  #ending;
  #leaving;
  #calls;
  // What the master said of rotation, where there is no scoreboard to read it from.
  #isOut = false;
  #hub;
  #components;
  // What the master said of components before anybody here wanted to know.
  #facts = [];
  // The signal that came, or that an order stood for.
  #signal;
  #isDraining = false;

  constructor(cluster, setup) {
    this.#cluster = cluster;
    this.#setup = setup;
    this.#board = setup.board;
    this.#servers = setup.servers;
  }

  async run() {
    const { onUncaughtException } = this.#setup.parsed;
    const isToContinue = onUncaughtException === 'continue';
    const endTrap = isToContinue ? trapExceptions(this.#cluster, onUncaughtException) : undefined;
    try {
      await this.#start();
    } catch (error) {
      // This worker will never serve.
      endTrap?.();
      throw error;
    }
    if (!isToContinue) trapExceptions(this.#cluster, onUncaughtException);
  }

  async #start() {
    const { callback, parsed } = this.#setup;
    this.#begin({ handsOver: true });
    const { apps, monApp } = await this.#collectApps(this.#setup);
    let waiting = apps.length;
    const onListening = (ports) => {
      waiting -= 1;
      this.#announceComponents();
      tell({ act: 'listening', ready: waiting === 0 });
      for (const _ of ports) callApplication(() => callback?.(apps, monApp));
    };
    await this.#servers.listen(apps, onListening);
    this.#serves();
    if (apps.length === 0) tell({ act: 'ready' });
    startHeartbeat(this.#cluster, this.#board, parsed.heartbeatInterval);
    setTimeout(() => this.#watchThresholds(), SETTLE_MS).unref();
  }

  async #collectApps({ createApp, monApp }) {
    const { collectApps } = require('../shared/create-app');
    const hasAsked = () => [this.#calls, this.#hub, this.#setup.client()].some((asked) => asked?.isOpen);
    const collected = await collectApps(createApp, {
      monApp,
      isWaiting: () => this.#setup.awaitsSocket() || hasAsked(),
      warn: (message) => this.#warn(message),
    });
    this.#ending.serves(collected.apps);
    return collected;
  }

  /**
   * The application's script knows nothing of this package, and is about to run: the worker is ready when its first
   * server listens, or with `waitReady` when it says so.
   */
  runScript() {
    const { onUncaughtException, waitReady } = this.#setup.parsed;
    const trap = () => trapExceptions(this.#cluster, onUncaughtException);
    if (onUncaughtException === 'continue') trap();
    const serves = () => {
      if (onUncaughtException !== 'continue') trap();
      this.#serves();
      if (waitReady) tell({ act: 'listening', ready: true });
    };
    this.#begin({ handsOver: waitReady });
    if (waitReady) onReadyMessage(serves);
    else this.#servers.onceListening(serves);
    // A script may open no server at all.
    setTimeout(() => this.#watchThresholds(), SETTLE_MS).unref();
  }

  /**
   * The script that runs as it is has made a `Cluster` all the same: serves its apps. From now on `cluster` hears what
   * happens to this worker, which keeps the options that it was started with.
   */
  async serveGuest(cluster, setup) {
    const { callback, onComponents, parsed, wantsComponents } = setup;
    // The servers and the trap for exceptions keep the emitter that they were given at the start.
    this.#cluster.emit = (...event) => cluster.emit(...event);
    this.#cluster = cluster;
    this.#setup = { ...this.#setup, onComponents, wantsComponents };
    countTransactions(cluster, this.#board);
    const { toServer } = require('../shared/create-app');
    const { apps, monApp } = await this.#collectApps(setup);
    for (const entry of apps) {
      await listenOnAll(await toServer(entry.app), portsOf(entry, parsed), parsed);
    }
    this.#announceComponents();
    startHeartbeat(cluster, this.#board, parsed.heartbeatInterval);
    callApplication(() => callback?.(apps, monApp));
  }

  #begin({ handsOver }) {
    onClusterMessage((message) => this.#obey(message));
    tell({ act: 'hello', handsOver });
    process.once('disconnect', () => {
      this.#calls?.end();
      this.#hub?.end();
    });
    this.#beginService();
    this.#ending.hearSignals((signal) => this.#onSignal(signal));
    drainAtDisconnect(this.#servers, () => this.#takesNothingNew());
  }

  #serves() {
    this.#board.state = 'serving';
    setTimeout(() => {
      const { whenQuiet } = require('./idle-proof');
      whenQuiet(() => this.#servers.sockets, () => tell({ act: 'quiet' }));
    }, SETTLE_MS).unref();
  }

  #watchThresholds() {
    const { Thresholds } = require('./counting/thresholds');
    new Thresholds(this.#setup.parsed, this.#servers).watch((why) => tell({ act: 'recycle', why }));
  }

  /** Takes the whole cluster out of rotation, or puts it back; resolves once every worker's next answer goes by it. */
  rotate(disabled, reason) {
    return this.#rotate(disabled, `${disabled ? 'disable' : 'enable'}() in worker ${process.pid}`, reason);
  }

  #rotate(disabled, by, reason) {
    const { Calls, notRunning, textOf } = require('../shared/pending-calls');
    this.#calls ??= new Calls();
    return this.#calls.make((seq) => {
      if (!tell({ act: 'rotate', seq, disabled, by, reason: textOf(reason) })) throw notRunning();
    });
  }

  #ecvHost() {
    const board = this.#board;
    const { ecvState, leaving } = board.layout.header;
    return {
      isOut: () => (board.isShared ? board.header[ecvState] !== 0 || board.header[leaving] !== 0 : this.#isOut),
      rotate: (disabled, by, reason) => this.#rotate(disabled, `${by} to worker ${process.pid}`, reason),
      warn: (message) => this.#cluster.emit('warning', { message }),
    };
  }

  // Before the master is told that this worker listens, so that its first answer includes this worker.
  #announceComponents() {
    if (this.#setup.wantsComponents()) this.startComponents();
    else if (!this.#components) tell({ act: 'component', fact: { component: 'worker', reducer: 'array' } });
  }

  /** Makes what `componentStatus()` promises; asked again, there is nothing to do. */
  startComponents() {
    if (this.#components) return;
    const { ComponentStatus, RemoteHub } = require('../components/status');
    this.#hub = new RemoteHub((fact) => tell({ act: 'component', fact }));
    this.#components = new ComponentStatus(this.#hub, process.pid);
    for (const fact of this.#facts) this.#hub.hear(fact, this.#components);
    this.#setup.onComponents(this.#components);
  }

  #hearComponent(fact) {
    if (fact.question) this.startComponents();
    if (this.#components) this.#hub.hear(fact, this.#components);
    else this.#facts.push(fact);
  }

  #beginService() {
    const board = this.#board;
    const servers = this.#servers;
    if (board.problem) this.#warn(board.problem.message);
    const { ending, leaving } = beginService(this.#cluster, this.#setup, {
      servers,
      board,
      host: this.#ecvHost(),
      balance: new Balance(board, servers.traffic.shortConnections),
      warn: (problem) => this.#warn(problem),
      exit: () => process.exit(0),
    });
    this.#ending = ending;
    this.#leaving = leaving;
  }

  #obey(message) {
    const { cmd, act, why, fact, ack, isOut } = message;
    if (cmd !== INTERNAL) return;
    if (act === 'component') this.#hearComponent(fact);
    if (act === 'signal') this.#emitSignal(message.signal);
    if (act === 'drain') this.#drain(why);
    if (act === 'end') this.end();
    if (act === 'rotated') this.#calls?.answered(ack, { ok: true });
    if (act === 'rotation') this.#isOut = isOut;
  }

  #onSignal(signal) {
    this.#emitSignal(signal);
    if (process.connected) tell({ act: 'leaving', signal });
    else this.#drain('leave');
  }

  #emitSignal(signal) {
    // Ctrl-C comes twice: to this process, and from the master.
    if (this.#signal === signal) return;
    this.#signal = signal;
    callApplication(() => this.#cluster.emit(signal, { pid: process.pid, type: 'worker' }));
  }

  #drain(why) {
    const signal = SIGNAL_OF_ORDER[why];
    if (signal && !this.#signal) this.#emitSignal(signal);
    this.#takesNothingNew();
    this.#leaving.begin(this.#signal ?? 'SIGTERM');
  }

  #takesNothingNew() {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#board.state = 'draining';
    // As in cluster2: what an old script looks for in a worker that goes.
    process.emitter = this.#cluster;
    callApplication(() => this.#cluster.emit('draining'));
  }

  /** The order to go at once: clients are cut off, the application cleans up. */
  end() {
    const held = this.#leaving.endNow();
    if (held) this.#warn(held);
  }

  // The master emits it.
  #warn(problem) {
    tell({ act: 'warning', message: `worker ${process.pid}: ${problem}` });
  }
}

module.exports = { Worker };

// Calls `onReady()` once when the application says `process.send('ready')`, as it does for PM2.
function onReadyMessage(onReady) {
  const { send } = process;
  let isReady = false;
  process.send = function sendAndSee(message, ...rest) {
    if (message === 'ready' && !isReady) {
      isReady = true;
      // A library that has wrapped it meanwhile goes on calling this function.
      if (process.send === sendAndSee) process.send = send;
      onReady();
    }
    return Reflect.apply(send, this, [message, ...rest]);
  };
}
