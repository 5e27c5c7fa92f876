// Runs in every worker: serves what createApp hands over, and ties the process to the master.
//
// Orders come as internal messages on the channel: `drain` (finish and go) and `end` (go at once). What the
// master should know goes back the same way. Signals only tell the master, which gives the order; without a
// master they drain.
'use strict';

const { collectApps } = require('./apps');
const { trapExceptions } = require('./exceptions');
const { countTransactions, startHeartbeat } = require('./heartbeat');
const { whenQuiet } = require('./quiet');
const { Service } = require('./service');
const { tell, INTERNAL } = require('./tell');
const { Thresholds } = require('./thresholds');
const { Traffic } = require('./traffic');
const { VitalSigns } = require('./vital-signs');

// What the application sees when the master orders a drain that no signal announced, as in cluster2.
const SIGNAL_OF_ORDER = { shutdown: 'SIGTERM', recycle: 'SIGINT', leave: undefined };
// How long closing frames and last bytes may take once the deadline has come.
const LAST_BYTES_MS = 100;

class Worker {
  #cluster;
  #setup;
  #board;
  #traffic;
  #service;
  #signalled = false;

  constructor(cluster, setup) {
    this.#cluster = cluster;
    this.#setup = setup;
    this.#board = setup.board;
    this.#traffic = new Traffic(setup.board, setup.parsed);
    this.#service = new Service(cluster, setup.parsed, this.#traffic);
  }

  async run() {
    const { createApp, callback, parsed } = this.#setup;
    tell({ act: 'hello' });
    process.on('internalMessage', (message) => this.#obey(message));
    process.on('SIGTERM', () => this.#onSignal('SIGTERM'));
    process.on('SIGINT', () => this.#onSignal('SIGINT'));
    this.#watchOneself();
    const { apps, monApp } = await collectApps(createApp);
    let waiting = apps.length;
    const onListening = (ports) => {
      waiting -= 1;
      tell({ act: 'listening', ready: waiting === 0 });
      for (const _ of ports) callback?.(apps, monApp);
    };
    try {
      await this.#service.listen(apps, onListening);
    } catch (error) {
      // A shutdown came first, and with it the order to go.
      if (error.code === 'ECANCELED') return;
      throw error;
    }
    trapExceptions(this.#cluster, parsed.onUncaughtException);
    this.#board.state = 'serving';
    if (apps.length === 0) tell({ act: 'ready' });
    startHeartbeat(this.#cluster, this.#board, parsed.heartbeatInterval);
    whenQuiet(() => this.#service.sockets, () => tell({ act: 'quiet' }));
    new Thresholds(parsed, this.#service).watch((why) => tell({ act: 'recycle', why }));
  }

  #watchOneself() {
    const board = this.#board;
    if (board.problem) tell({ act: 'warning', message: `worker ${process.pid}: ${board.problem.message}` });
    countTransactions(this.#cluster, board);
    const signs = new VitalSigns(board);
    signs.also(() => this.#traffic.look());
    signs.start();
  }

  #obey({ cmd, act, why }) {
    if (cmd !== INTERNAL) return;
    if (act === 'turn') tell({ act: 'turned' });
    if (act === 'drain') this.#drain(why);
    if (act === 'end') this.#end();
  }

  #onSignal(signal) {
    this.#emitSignal(signal);
    if (process.connected) tell({ act: 'leaving', signal });
    else this.#drain('leave');
  }

  #emitSignal(signal) {
    this.#signalled = true;
    this.#cluster.emit(signal, { pid: process.pid, type: 'worker' });
  }

  #drain(why) {
    const signal = SIGNAL_OF_ORDER[why];
    if (signal && !this.#signalled) this.#emitSignal(signal);
    this.#board.state = 'draining';
    this.#cluster.emit('draining');
    // One turn more, so that 'close' handlers have run.
    this.#service.drain().then(() => setImmediate(() => process.exit(0)));
  }

  #end() {
    const held = this.#service.endNow();
    if (held) tell({ act: 'warning', message: `worker ${process.pid}: ${held}` });
    setTimeout(() => process.exit(0), LAST_BYTES_MS);
  }
}

module.exports = { Worker };
