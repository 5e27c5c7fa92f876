// A script written for one process may listen with `exclusive` or `reusePort`. In workers, only the first one would get
// the port. So both flags are ignored here.
//
// lib/worker/preload.js calls `sharePorts` in a worker that runs a script as it is, before the script. Owns the hook on
// `net.Server`.
'use strict';

const net = require('node:net');

/** From now on `exclusive` and `reusePort` are no reason for a server to listen without the master. */
function sharePorts() {
  const { prototype } = net.Server;
  const { listen } = prototype;
  prototype.listen = function listenTogether(...args) {
    const [options] = args;
    if (wantsItAlone(options)) args[0] = { __proto__: options, exclusive: false, reusePort: false };
    return Reflect.apply(listen, this, args);
  };
}

module.exports = { sharePorts };

// A descriptor or a handle is this process's own: the master knows nothing of it.
function wantsItAlone(options) {
  if (typeof options !== 'object' || options === null) return false;
  return Boolean(options.exclusive || options.reusePort) && (options.port ?? options.path) !== undefined;
}
