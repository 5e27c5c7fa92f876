// `cluster.settings`: what they are where nothing is set, and what one fork by them is started with.
//
// lib/node-cluster/primary.js calls it at `setupPrimary` and at each fork. What Node refuses is refused with Node's
// codes. Owns the count of inspector ports.
'use strict';

const net = require('node:net');
const { fileURLToPath } = require('node:url');

const { wantsInspector } = require('../master/worker-settings');
const { descriptorOf } = require('../shared/node-internals');
const { nodeError } = require('./errors');

const LAST_PORT = 65535;
const FIRST_UNPRIVILEGED_PORT = 1024;
// How many descriptors every process has.
const STANDARD = 3;

let inspected = 0;

/** The settings after `setupPrimary(changes)`. */
function merged(settings, changes) {
  const { argv, execArgv } = process;
  const all = { args: argv.slice(2), exec: argv[1], execArgv, silent: false, ...settings, ...changes };
  // Profiles of several processes in one file would be of no use.
  const profiles = all.execArgv.some((flag) => flag.startsWith('--prof'));
  const isNamed = all.execArgv.some((flag) => flag.startsWith('--logfile='));
  if (profiles && !isNamed) all.execArgv = [...all.execArgv, '--logfile=v8-%p.log'];
  return all;
}

/** What the addon is to start for one fork. */
function launchOf(settings, env) {
  const { args = [], cwd, exec, gid = null, serialization = 'json', uid = null } = settings;
  if (typeof exec !== 'string') throw invalidType('modulePath', 'a string', exec);
  if (!Array.isArray(args)) throw invalidType('args', 'an array', args);
  if (!['json', 'advanced'].includes(serialization)) {
    throw invalidValue('options.serialization', "must be one of: undefined, 'json', 'advanced'", serialization);
  }
  return {
    execPath: process.execPath,
    execArgv: [...settings.execArgv.map(String), ...inspectorOf(settings)],
    script: exec,
    args: args.map(String),
    env: textsOf({ ...process.env, ...env }),
    cwd: cwd === undefined || cwd === null ? null : pathOf(cwd),
    uid,
    gid,
    inspectPort: null,
    serialization,
    stdio: stdioOf(settings),
  };
}

module.exports = { merged, launchOf };

function inspectorOf({ execArgv, inspectPort }) {
  if (inspectPort === null) throw badPort(inspectPort);
  return wantsInspector(execArgv) ? [`--inspect-port=${portOf(inspectPort)}`] : [];
}

function portOf(inspectPort) {
  const port = typeof inspectPort === 'function' ? inspectPort() : inspectPort ?? nextPort();
  if (Number.isInteger(Number(port)) && port >= 0 && port <= LAST_PORT) return port;
  throw badPort(port);
}

function nextPort() {
  inspected += 1;
  const port = process.debugPort + inspected;
  return port > LAST_PORT ? port - LAST_PORT + FIRST_UNPRIVILEGED_PORT - 1 : port;
}

// As Node makes them: what is undefined is left out.
function textsOf(env) {
  const given = Object.entries(env).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, `${value}`]));
}

function pathOf(cwd) {
  return cwd instanceof URL ? fileURLToPath(cwd) : String(cwd);
}

function stdioOf({ silent, stdio }) {
  const wanted = listOf(stdio ?? (silent ? 'pipe' : 'inherit'));
  if (!wanted.includes('ipc')) {
    const rule = "Forked processes must have an IPC channel, missing value 'ipc' in options.stdio";
    throw nodeError(Error, 'ERR_CHILD_PROCESS_IPC_REQUIRED', rule);
  }
  if (wanted.indexOf('ipc') !== wanted.lastIndexOf('ipc')) {
    throw nodeError(Error, 'ERR_IPC_ONE_PIPE', 'Child process can have only one IPC pipe');
  }
  while (wanted.length < STANDARD) wanted.push(undefined);
  return wanted.map(endOf);
}

function listOf(stdio) {
  if (Array.isArray(stdio)) return [...stdio];
  if (!['ignore', 'inherit', 'overlapped', 'pipe'].includes(stdio)) throw invalidValue('stdio', 'is invalid', stdio);
  return [stdio, stdio, stdio, 'ipc'];
}

// By the names of src/process/stdio.rs.
function endOf(given, number) {
  const wanted = given ?? (number < STANDARD ? 'pipe' : 'ignore');
  if (['ignore', 'ipc', 'pipe'].includes(wanted)) return wanted;
  if (wanted === 'overlapped' || wanted < 0) return 'pipe';
  const fd = wanted === 'inherit' ? number : numberOf(wanted);
  if (Number.isInteger(fd)) return { fd };
  throw invalidValue('stdio', 'is invalid', given);
}

function numberOf(wanted) {
  if (typeof wanted !== 'object') return wanted;
  if (wanted instanceof net.Socket || wanted instanceof net.Server) return descriptorOf(wanted);
  return wanted.fd ?? wanted.handle?.fd;
}

function invalidType(name, wanted, given) {
  const rule = `The "${name}" argument must be ${wanted}. Received ${show(given)}`;
  return nodeError(TypeError, 'ERR_INVALID_ARG_TYPE', rule);
}

function invalidValue(name, rule, given) {
  return nodeError(TypeError, 'ERR_INVALID_ARG_VALUE', `The argument '${name}' ${rule}. Received ${show(given)}`);
}

function badPort(given) {
  const rule = `Port should be >= 0 and < ${LAST_PORT + 1}. Received ${show(given)}.`;
  return nodeError(RangeError, 'ERR_SOCKET_BAD_PORT', rule);
}

function show(value) {
  return require('node:util').inspect(value, { depth: 0 });
}
