// A port that can't be had is an everyday mistake of a start script, which looks at the exit status: the process ends
// with a line on stderr and status 255.
//
// lib/master/master.js and lib/single.js call it with what was thrown when the ports were bound.
'use strict';

const fs = require('node:fs');
const { constants: { errno } } = require('node:os');

const { Cluster2Error } = require('../shared/errors');
const { say } = require('../shared/stderr');

const BUSY_EXIT_CODE = 255;
const LISTEN = '0A';
// How the Rust core ends the text of an error that has this cause.
const IN_USE = `(os error ${errno.EADDRINUSE})`;
const HELD_HERE = 'this very process holds it: createApp runs in the master too, and must hand over an app ' +
  'that is not listening';

const HELD_ELSEWHERE = 'another process listens there, as `ss -ltnp` shows; end it, or choose another `port`';
const ADVICE = { ERR_CLUSTER2_PORT_IN_USE: HELD_ELSEWHERE };

const SENTENCES = {
  ERR_CLUSTER2_PORT_IN_USE: (text) => `Port is use ..${/^port in use: (?:.*:)?(.+): /.exec(text)[1]}`,
  ERR_CLUSTER2_LISTEN: (text) => text,
  ERR_CLUSTER2_MONITOR_LISTEN: (text) => (text.includes(IN_USE) ? `Address in use ... ${text}` : text),
};

/**
 * Ends the process for a port that can't be had; other errors are thrown. A script that listens for 'error' ends by
 * itself, with the status that it sets, else with the same.
 */
function refusePort(cluster, problem) {
  const error = asOurs(problem, cluster.options.host);
  const sentence = SENTENCES[error.code];
  if (!sentence) throw error;
  const text = sentence(error.message);
  const isHeldHere = listensHere(Number(/\.\.(\d+)$/.exec(text)?.[1]));
  if (isHeldHere) error.message += `; ${HELD_HERE}`;
  if (cluster.listenerCount('error') > 0) {
    process.exitCode ??= BUSY_EXIT_CODE;
    cluster.emit('error', error);
    return;
  }
  // The first line is what scripts of cluster2 look for; the second says what it means.
  const advice = isHeldHere ? HELD_HERE : ADVICE[error.code];
  say(advice === undefined ? text : `${text}\ncluster2: ${advice}`);
  process.exit(BUSY_EXIT_CODE);
}

// Where Node binds by itself (`cluster: false`), or looks `host` up, its error becomes what the Rust core would say.
// Every other one stays as it is.
function asOurs(error, host) {
  const { address, code, hostname, port, syscall } = error;
  const isAboutHost = syscall === 'getaddrinfo' && hostname === host;
  if (syscall !== 'bind' && syscall !== 'listen' && !isAboutHost) return error;
  const where = hostname ?? (port > 0 ? `${address}:${port}` : address);
  return code === 'EADDRINUSE'
    ? new Cluster2Error('ERR_CLUSTER2_PORT_IN_USE', `port in use: ${where}: ${code}`, { cause: error })
    : new Cluster2Error('ERR_CLUSTER2_LISTEN', `cannot listen on ${where}: ${error.message}`, { cause: error });
}

// Whether a TCP socket of this process listens on the port; where there is no /proc, no.
function listensHere(port) {
  try {
    const own = new Set(fs.readdirSync('/proc/self/fd').map(linkOf));
    return ['tcp', 'tcp6'].some((table) => listeners(table, port).some((inode) => own.has(`socket:[${inode}]`)));
  } catch {
    return false;
  }
}

// The sockets of the machine that listen on the port, by inode.
function listeners(table, port) {
  const rows = fs.readFileSync(`/proc/self/net/${table}`, 'latin1').trim().split('\n').slice(1);
  return rows.map((row) => row.trim().split(/\s+/)).flatMap((fields) => {
    const [, local, , state] = fields;
    return state === LISTEN && parseInt(local.split(':')[1], 16) === port ? [fields[9]] : [];
  });
}

// The descriptor that read the directory is gone again.
function linkOf(fd) {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

module.exports = { refusePort };
