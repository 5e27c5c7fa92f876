// What a worker does for the connections of every server from the moment when this package is loaded.
//
// lib/shared/whose-worker.js and lib/node-cluster/agent.js call it once, before they tell the master that the package
// is there: from then on the master counts on what this begins. Owns nothing; the parts own their state.
'use strict';

const { onClusterMessage } = require('../shared/node-internals');
const { Traffic } = require('./counting/traffic');
const { INTERNAL, tell } = require('./send-to-master');
const { guardHandOvers } = require('./serving/claims');
const { Neighbours } = require('./serving/neighbours');
const { Servers } = require('./serving/servers');

/** Adopts whatever listens from now on; gives the one `Servers` of this process. `board` is its scoreboard. */
function adoptServers(board) {
  guardHandOvers(board);
  onClusterMessage(({ cmd, act }) => {
    if (cmd === INTERNAL && act === 'turn') tell({ act: 'turned' });
  });
  const traffic = new Traffic(board);
  return new Servers(traffic, new Neighbours(board, traffic.shortConnections)).adoptAll();
}

module.exports = { adoptServers };
