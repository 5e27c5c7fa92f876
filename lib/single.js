// `cluster: false`: the application in this very process, with the monitor, the idle timeout and graceful signals.
'use strict';

const { constants: { signals } } = require('node:os');

const { callApplication } = require('./shared/call-application');
const { collectApps } = require('./shared/create-app');
const { Calls, notRunning, textOf } = require('./shared/pending-calls');
const { killSelf } = require('./shared/kill-self');
const { ComponentHub } = require('./components/hub');
const { ComponentStatus, query } = require('./components/status');
const { encode } = require('./shared/options-json');
const { fromNative } = require('./shared/errors');
const { NOBODY } = require('./master/worker-settings');
const { load } = require('./shared/native');
const { MonitorRequests } = require('./master/monitor-requests');
const { portsOf } = require('./shared/ports');
const { refusePort } = require('./master/refuse-port');
const { Board } = require('./worker/counting/scoreboard');
const { leaveUncounted } = require('./worker/connection');
const { beginService } = require('./worker/serve-and-end');
const { Servers } = require('./worker/serving/servers');
const { Traffic } = require('./worker/counting/traffic');
const { performance, setTimeout } = require('./shared/timers');

const SECOND_SIGNAL_MS = 1000;
const SEVERAL_PORTS_EXIT_CODE = 255;

class Single {
  #cluster;
  #setup;
  #servers;
  #ending;
  #leaving;
  #native;
  #calls = new Calls();
  #isLeaving = false;
  #firstSignalAt;
  #components;
  #monitor;

  constructor(cluster, setup) {
    this.#cluster = cluster;
    this.#setup = setup;
  }

  async run() {
    const { createApp, monApp: usual, callback, parsed, raw, metrics } = this.#setup;
    const { apps, monApp } = await collectApps(createApp, {
      monApp: usual,
      warn: (message) => this.#warn(message),
    });
    if (apps.length > 1 || portsOf(apps[0] ?? {}, parsed).length > 1) {
      process.stdout.write('Provide a single port for non-cluster mode. Exiting.\n');
      process.exit(SEVERAL_PORTS_EXIT_CODE);
    }
    this.#monitor = new MonitorRequests(
      (...asked) => this.query(...asked),
      (message) => this.#warn(message),
      leaveUncounted,
    );
    if (parsed.monPort) await this.#monitor.use(monApp);
    try {
      this.#native = load().Master.prepare(encode(raw), NOBODY, []);
      process.once('exit', () => this.#native.close());
      // Started first, so that no answer is given before the state is known.
      this.#native.start((...event) => this.#receive(...event), this.#monitor.hasApp);
      const board = this.#beginService();
      this.#ending.serves(apps);
      await this.#servers.listen(apps, () => {});
      board.state = 'serving';
    } catch (error) {
      return refusePort(this.#cluster, fromNative(error));
    }
    this.#ending.hearSignals((signal) => this.#onSignal(signal));
    metrics().start((text) => this.#native.setAppMetrics(text), (message) => this.#warn(message));
    this.#startComponents();
    return callback?.(apps[0]?.app, monApp);
  }

  #startComponents() {
    const hub = new ComponentHub(() => {}, (message) => this.#warn(message));
    this.#components = new ComponentStatus(hub, `m${process.pid}`);
    hub.start((question) => this.#components.answer(question));
    this.#setup.onComponents(this.#components);
  }

  /** For the monitor: the names of all components or, with a name, what is said of it. */
  query(component, worker, params) {
    return query(this.#components, component, worker, params);
  }

  addresses() {
    return this.#native?.addresses() ?? { app: [], monitor: null };
  }

  /** Takes this process out of rotation, or puts it back. */
  rotate(disabled, reason) {
    return this.#rotate(disabled, `${disabled ? 'disable' : 'enable'}()`, reason);
  }

  /** Ends this process at once. */
  async stop() {
    this.#native?.close();
    killSelf();
  }

  /** Finishes what is under way and resolves; then the process ends. At the deadline it cuts what is left. */
  async shutdown() {
    await this.#leave('SIGTERM', true);
  }

  async #leave(signal, isAwaited) {
    const { drainDelay, shutdownTimeout } = this.#setup.parsed;
    const isFirst = !this.#isLeaving;
    this.#isLeaving = true;
    this.#native?.leave();
    if (drainDelay > 0) await new Promise((resolve) => { setTimeout(resolve, drainDelay); });
    // It was called before anything listened.
    if (!this.#leaving) process.exit();
    if (isFirst) callApplication(() => this.#cluster.emit('draining'));
    setTimeout(() => {
      const held = this.#leaving.endNow();
      if (held) this.#warn(held);
    }, shutdownTimeout).unref();
    await this.#leaving.begin(signal, isAwaited);
  }

  // The process has a row of the scoreboard like any worker's, which the monitor reads.
  #beginService() {
    const board = new Board(load(), this.#native.place() ?? undefined);
    this.#servers = new Servers(new Traffic(board)).adoptAll();
    const { ending, leaving } = beginService(this.#cluster, this.#setup, {
      servers: this.#servers,
      board,
      host: this.#ecvHost(),
      warn: (problem) => this.#warn(problem),
      exit: () => process.exit(),
    });
    this.#ending = ending;
    this.#leaving = leaving;
    return board;
  }

  #ecvHost() {
    return {
      isOut: () => this.#isLeaving || this.#native.isOutOfRotation(),
      rotate: (disabled, by, reason) => this.#rotate(disabled, by, reason),
      warn: (message) => this.#warn(message),
    };
  }

  #warn(message, facts) {
    callApplication(() => this.#cluster.emit('warning', { message, ...facts }));
  }

  #rotate(disabled, by, reason) {
    return this.#calls.make((ticket) => {
      if (!this.#native?.rotate(ticket, disabled, by, textOf(reason))) throw notRunning();
    });
  }

  #receive(event, id, text, fd) {
    const facts = JSON.parse(text);
    if (event === 'answered') this.#calls.answered(id, facts);
    if (event === 'monitorRequest') this.#monitor.take(facts, fd);
    if (event === 'warning') this.#warn(facts.message, facts.facts);
  }

  #onSignal(signal) {
    const now = performance.now();
    const isFirst = this.#firstSignalAt === undefined;
    if (!isFirst && now - this.#firstSignalAt < SECOND_SIGNAL_MS) return;
    this.#firstSignalAt ??= now;
    if (!isFirst) process.exit(128 + signals[signal]);
    callApplication(() => this.#cluster.emit(signal, { pid: process.pid, type: 'master' }));
    this.#leave(signal, false);
  }
}

module.exports = { Single };
