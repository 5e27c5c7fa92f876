// `cluster: false`: the application in this very process, with the monitor, the idle timeout and graceful signals.
'use strict';

const { constants: { signals } } = require('node:os');

const { collectApps } = require('./apps');
const { encode } = require('./encode');
const { fromNative } = require('./errors');
const { NOBODY } = require('./launch');
const { load } = require('./native');
const { Service } = require('./service');
const { portsOf } = require('./ports');
const { refusePort } = require('./refuse-port');

const SECOND_SIGNAL_MS = 1000;
const SEVERAL_PORTS_EXIT_CODE = 255;

class Single {
  #cluster;
  #setup;
  #service;
  #native;
  #firstSignalAt;

  constructor(cluster, setup) {
    this.#cluster = cluster;
    this.#setup = setup;
    this.#service = new Service(cluster, setup.parsed);
  }

  async run() {
    const { createApp, callback, parsed, raw } = this.#setup;
    const { apps, monApp } = await collectApps(createApp);
    if (apps.length > 1 || portsOf(apps[0] ?? {}, parsed).length > 1) {
      process.stdout.write('Provide a single port for non-cluster mode. Exiting.\n');
      process.exit(SEVERAL_PORTS_EXIT_CODE);
    }
    try {
      this.#native = load().Master.prepare(encode(raw), NOBODY, []);
      await this.#service.listen(apps, () => {});
    } catch (error) {
      return refusePort(this.#cluster, fromNative(error));
    }
    process.once('exit', () => this.#native.close());
    process.on('SIGTERM', () => this.#onSignal('SIGTERM'));
    process.on('SIGINT', () => this.#onSignal('SIGINT'));
    this.#native.start(() => {});
    return callback?.(apps[0]?.app, monApp);
  }

  addresses() {
    return this.#native?.addresses() ?? { app: [], monitor: null };
  }

  /** Ends this process at once. */
  async stop() {
    this.#native?.close();
    process.kill(process.pid, 'SIGKILL');
  }

  /** Finishes what is under way, then exits with 0; at the deadline it cuts what is left. */
  async shutdown() {
    const { shutdownTimeout, killTimeout } = this.#setup.parsed;
    const leave = () => process.exit(process.exitCode ?? 0);
    setTimeout(() => {
      const held = this.#service.endNow();
      if (held) this.#cluster.emit('warning', { message: held });
      setTimeout(leave, Math.min(100, killTimeout));
    }, shutdownTimeout).unref();
    await this.#service.drain();
    setImmediate(leave);
  }

  #onSignal(signal) {
    const now = performance.now();
    const isFirst = this.#firstSignalAt === undefined;
    if (!isFirst && now - this.#firstSignalAt < SECOND_SIGNAL_MS) return;
    this.#firstSignalAt ??= now;
    if (!isFirst) process.exit(128 + signals[signal]);
    this.#cluster.emit(signal, { pid: process.pid, type: 'master' });
    this.shutdown();
  }
}

module.exports = { Single };
