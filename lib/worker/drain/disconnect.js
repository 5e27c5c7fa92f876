// A worker that is told to disconnect, by itself or by its master, loses no request.
//
// lib/worker/worker.js and lib/node-cluster/agent.js start it once. Node closes the servers that listen by the master,
// and the channel when they are closed; here each of these servers is drained before. Owns nothing.
'use strict';

const nodeCluster = require('node:cluster');

const { onClusterMessage } = require('../../shared/node-internals');

/** From now on a disconnect drains `servers`; `onLeave()` is called before it begins. */
function drainAtDisconnect(servers, onLeave) {
  const leave = () => {
    onLeave();
    servers.drainWhenClosed();
  };
  // Before Node's own listener, which closes the servers in the same turn.
  onClusterMessage(({ cmd, act }) => {
    if (cmd === 'NODE_CLUSTER' && act === 'disconnect') leave();
  }, true);
  const { disconnect } = nodeCluster.worker;
  nodeCluster.worker.disconnect = function disconnectGently(...args) {
    leave();
    return disconnect.apply(this, args);
  };
}

module.exports = { drainAtDisconnect };
