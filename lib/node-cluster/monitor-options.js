// The monitor of a program that forks for itself: off, unless `setupPrimary({monitor})` or the environment asks for it.
//
// lib/node-cluster/primary.js asks when the supervisor begins. `monitor` has the names of the options of `new Cluster`
// without their prefix: `port`, `host`, `path`, `token`. CLUSTER2_MONITOR is `[host:]port`. Owns nothing.
'use strict';

const { createError } = require('../shared/errors');

const RULE = 'an object with port, host, path or token';
const NAMES = { port: 'monPort', host: 'monHost', path: 'monPath' };

/** The options of the master that `monitor` stands for. Throws ERR_CLUSTER2_INVALID_ARGUMENT. */
function monitorOptions(monitor = fromEnvironment()) {
  // No server listens here before a worker asks, and no worker answers balancers.
  const options = { port: 0, monPort: false, ecv: false, pids: false };
  if (!monitor) return options;
  if (typeof monitor !== 'object') throw createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'monitor', RULE, monitor);
  options.monPort = 3001;
  options.monHost = '127.0.0.1';
  for (const [name, value] of Object.entries(monitor)) {
    if (name === 'token') options.monitor = { token: value };
    else if (NAMES[name]) options[NAMES[name]] = value;
    else throw createError('ERR_CLUSTER2_INVALID_ARGUMENT', `monitor.${name}`, `left out: monitor is ${RULE}`, value);
  }
  return options;
}

module.exports = { monitorOptions };

function fromEnvironment() {
  const { CLUSTER2_MONITOR: given } = process.env;
  if (!given) return undefined;
  const cut = given.lastIndexOf(':');
  const port = Number(given.slice(cut + 1));
  return cut < 0 ? { port } : { host: given.slice(0, cut).replace(/^\[|\]$/g, ''), port };
}
