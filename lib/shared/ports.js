// Where the apps of a cluster listen: on the ports that were given with an app, checked like the option `port`, or on
// those of the option.
//
// lib/master/master.js binds the ports of all apps before it forks; lib/worker/serving/servers.js listens on those of
// one app. Owns nothing.
'use strict';

const path = require('node:path');

const { fromNative } = require('./errors');
const { load } = require('./native');

/** The ports of one app, numbers and paths; throws ERR_CLUSTER2_INVALID_OPTION for what is neither. */
function portsOf({ port }, options) {
  if (port === undefined) return [options.port].flat();
  try {
    return load().parseOptions({ port, monPort: false }).options.port;
  } catch (error) {
    throw fromNative(error);
  }
}

/** What the workers will ask the master for when they listen for `apps` on `ip`, in Node's words. */
function wantsOf(apps, ip, options) {
  const { backlog } = options;
  const times = new Map();
  return apps.flatMap((app) => portsOf(app, options)).map((port) => {
    // Node's workers number their servers on one address, and ask for a unix path by its absolute name.
    const index = times.get(port) ?? 0;
    times.set(port, index + 1);
    return typeof port === 'string' ? { path: path.resolve(port), index, backlog } : { ip, port, index, backlog };
  });
}

module.exports = { portsOf, wantsOf };
