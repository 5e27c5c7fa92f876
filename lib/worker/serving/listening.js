// How a server begins to listen: as a promise. lib/worker/serving/servers.js and lib/worker/worker.js call it.
'use strict';

const { extraServer } = require('./extra-ports');

/** Listens on each of `ports`; rejects with the error of the first that can't be had. */
async function listenOnAll(server, ports, options) {
  for (const [at, port] of ports.entries()) await listening(at === 0 ? server : extraServer(server), port, options);
}

module.exports = { listenOnAll };

// On `port`, a number or a path.
function listening(server, port, { host, backlog }) {
  return new Promise((resolve, reject) => {
    const done = (settle) => (value) => {
      server.removeListener('error', failed);
      server.removeListener('listening', opened);
      settle(value);
    };
    const failed = done(reject);
    const opened = done(resolve);
    server.once('error', failed);
    server.once('listening', opened);
    server.listen(typeof port === 'string' ? { path: port, backlog } : { port, host, backlog });
  });
}
