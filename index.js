// The public entry: `require('cluster2-rs')` is the constructor, as it was in cluster2.
//
// An older Node reads this file too, and is told so, before it meets what it does not have: in 18.7 subscriptions to
// `node:diagnostics_channel`, by which requests are counted and drained, got lost.
'use strict';

const OLDEST_NODE = [18, 8];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  const message = `cluster2-rs needs Node ${OLDEST_NODE.join('.')} or later, and this is ${process.versions.node}`;
  throw Object.assign(new Error(message), { code: 'ERR_CLUSTER2_UNSUPPORTED_NODE' });
}

const Cluster = require('./lib/cluster');
const { Cluster2Error } = require('./lib/shared/errors');

module.exports = Cluster;
module.exports.Cluster = Cluster;
module.exports.Cluster2Error = Cluster2Error;
module.exports.default = Cluster;
