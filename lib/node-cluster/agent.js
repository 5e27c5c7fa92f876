// In a worker of a program that forks itself: the worker's side of what our master does beside Node's own protocol.
//
// lib/node-cluster/index.js starts it where a worker loads `cluster2-rs/cluster` or `cluster2-rs/register`. It adopts
// the servers that the worker opens from then on: connections and requests are counted, fresh connections are spread
// evenly and wait for no busy worker, and a worker that is told to disconnect lets its clients go without losing a
// request. A worker that loads neither works too, without these.
'use strict';

const { EventEmitter } = require('node:events');

const { load } = require('../shared/native');
const { adoptServers } = require('../worker/adopt-servers');
const { Board } = require('../worker/counting/scoreboard');
const { VitalSigns } = require('../worker/counting/vital-signs');
const { drainAtDisconnect } = require('../worker/drain/disconnect');
const { reportExceptions } = require('../worker/exceptions');
const { tell } = require('../worker/send-to-master');
const { Balance } = require('../worker/serving/balance');

/** Begins; `place` is `descriptor:row` of the scoreboard, or undefined where there is none. */
function startAgent(place) {
  const addon = load();
  const [fd, row] = place?.split(':').map(Number) ?? [];
  const board = new Board(addon, place && { fd, row });
  reportExceptions();
  const servers = adoptServers(board);
  const balance = new Balance(board, servers.traffic.shortConnections);
  // What times out, and which ports there are, is the program's affair.
  const options = { ...addon.defaultOptions(), timeout: 0, port: [] };
  servers.use(new EventEmitter(), options, { balance, ownsLent: true });
  const signs = new VitalSigns(board);
  signs.also(() => servers.traffic.look());
  signs.start(options.metrics);
  board.state = 'serving';
  drainAtDisconnect(servers, () => { board.state = 'draining'; });
  tell({ act: 'hello' });
}

module.exports = { startAgent };
