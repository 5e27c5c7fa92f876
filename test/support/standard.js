// The standard program (test/apps/api-cluster.js), started and ready, and what tests do with it again and again.
'use strict';

const { connect, freePort } = require('./client');
const { start } = require('./program');
const { eventually, PATIENCE_MS } = require('./wait');

/** Starts test/apps/api-cluster.js and waits until all its workers listen; `rest` is for `start`. */
async function startCluster({ ...options } = {}, rest = {}) {
  const program = start('api-cluster', { options, ...rest });
  return ready(program, options.noWorkers);
}

/** Waits for a program's workers to listen; gives it `port` (the first, or a path), `workers` (pids), `addresses`. */
async function ready(program, noWorkers = 2) {
  const lines = await program.lines('listening', noWorkers);
  const [{ args: [addresses] }] = await program.lines('addresses', 1);
  const { port, path } = addresses.app[0];
  return Object.assign(program, { addresses, port: port ?? path, workers: lines.map(({ args: [pid] }) => pid) });
}

/** Starts test/apps/ecv.js with a monitor, at `monPort` of what it gives, and waits until all its workers listen. */
async function startMonitored({ env, ...options } = {}) {
  const monPort = await freePort();
  const program = start('ecv', { options: { monPort, monHost: '127.0.0.1', ...options }, env, args: ['http'] });
  await ready(program, options.noWorkers);
  return Object.assign(program, { monPort });
}

/** An open keep-alive connection to the worker `pid`, on which one request was answered. */
function connectTo(port, pid) {
  return eventually(async () => {
    const connection = await connect(port);
    const [, answerer] = await connection.get('/pid').until(/\r\n\r\n(\d+)$/);
    if (Number(answerer) === pid) {
      connection.received = '';
      return connection;
    }
    connection.close();
    return undefined;
  }, { what: `a connection to worker ${pid}` });
}

/** A request under way: sent to the worker `pid` and seen there, not answered yet. */
async function underWay(program, pid, path) {
  const connection = await connectTo(program.port, pid);
  connection.get(path);
  await program.line((line) => line.event === 'request' && line.pid === pid && line.args[0] === path);
  return connection;
}

/** The names of the events that the master reported so far, in order. */
function masterEvents(program, ...names) {
  return program.seen(({ role, event }) => role === 'master' && names.includes(event)).map(({ event }) => event);
}

/** Waits for the master's `died` of `pid`; gives `{code, signal, reason}`. */
async function died(program, pid, { within = PATIENCE_MS } = {}) {
  const line = await program.line(({ event, args }) => event === 'died' && args[0] === pid, { within });
  return line.args[1];
}

module.exports = { startCluster, startMonitored, ready, connectTo, underWay, masterEvents, died };
