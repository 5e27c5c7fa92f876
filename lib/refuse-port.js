// A port in use is an everyday mistake of a start script, which looks at the exit status: said in one line,
// status 255.
'use strict';

const BUSY_EXIT_CODE = 255;

const SENTENCES = {
  ERR_CLUSTER2_PORT_IN_USE: (text) => `Port is use ..${text.replace(/^port in use: /, '').replace(/: [^:]*$/, '').replace(/^.*:/, '')}`,
  EADDRINUSE: (text, error) => `Port is use ..${error.port ?? error.address}`,
  ERR_CLUSTER2_LISTEN: (text) => text,
  ERR_CLUSTER2_MONITOR_LISTEN: (text) => `Address in use ... ${text}`,
};

/** Ends the process for a port that can't be had, unless the script listens for 'error'; other errors are thrown. */
function refusePort(cluster, error) {
  const sentence = SENTENCES[error.code];
  if (!sentence) throw error;
  if (cluster.listenerCount('error') > 0) {
    cluster.emit('error', error);
    return;
  }
  process.stderr.write(`${sentence(error.message, error)}\n`);
  process.exit(BUSY_EXIT_CODE);
}

module.exports = { refusePort };
