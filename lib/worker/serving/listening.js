// How a server begins to listen: as a promise. lib/worker/serving/servers.js is the only caller.
'use strict';

/** Listens on `port`, a number or a path; resolves when it does, rejects with the server's error. */
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

module.exports = { listening };
