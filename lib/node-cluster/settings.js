// `cluster.settings`: what they are where nothing is set, and what one fork by them is started with.
//
// lib/node-cluster/primary.js calls it at `setupPrimary` and at each fork. What Node refuses is refused with Node's
// codes. Owns the count of inspector ports.
'use strict';

const net = require('node:net');
const { fileURLToPath } = require('node:url');
const { inspect } = require('node:util');

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
  if (!Array.isArray(all.execArgv)) throw invalidType('execArgv', 'an instance of Array', all.execArgv);
  // Profiles of several processes in one file would be of no use.
  const flags = all.execArgv.map(String);
  const profiles = flags.some((flag) => flag.startsWith('--prof'));
  const isNamed = flags.some((flag) => flag.startsWith('--logfile='));
  if (profiles && !isNamed) all.execArgv = [...all.execArgv, '--logfile=v8-%p.log'];
  return all;
}

/** What the addon is to start for one fork. */
function launchOf(settings, env) {
  const { args, cwd, exec, execArgv, gid, serialization = 'json', uid } = settings;
  if (!Array.isArray(args ?? [])) throw invalidType('args', 'an instance of Array', args);
  if (!['json', 'advanced'].includes(serialization)) {
    throw invalidValue('options.serialization', "must be one of: undefined, 'json', 'advanced'", serialization);
  }
  return {
    execPath: process.execPath,
    execArgv: [...textsOf('options.execArgv', execArgv), ...inspectorOf(settings)],
    script: pathOf('modulePath', exec),
    args: textsOf('args', args ?? []),
    env: environmentOf({ ...process.env, ...env }),
    cwd: isNone(cwd) || cwd === '' ? null : pathOf('options.cwd', cwd),
    uid: idOf('options.uid', uid),
    gid: idOf('options.gid', gid),
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
function environmentOf(env) {
  const given = Object.entries(env).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => {
    const option = `options.env['${name}']`;
    return [withoutZero(option, name), withoutZero(option, `${value}`)];
  }));
}

function textsOf(name, list) {
  return list.map((given, at) => withoutZero(`${name}[${at}]`, String(given)));
}

function pathOf(name, given) {
  const path = given instanceof URL ? fileURLToPath(given) : given;
  if (typeof path === 'string' || Buffer.isBuffer(path)) return withoutZero(name, String(path));
  throw invalidType(name, 'of type string or an instance of Buffer or URL', given);
}

function withoutZero(name, text) {
  if (!text.includes('\0')) return text;
  throw invalidValue(name, 'must be a string without null bytes', text);
}

// A user or a group.
function idOf(name, given) {
  if (isNone(given)) return null;
  if (given === (given | 0) && given >= 0) return given;
  throw invalidType(name, 'int32, and not below 0', given);
}

function isNone(given) {
  return given === undefined || given === null;
}

function stdioOf({ silent, stdio }) {
  const isGiven = typeof stdio === 'string' || Array.isArray(stdio);
  const wanted = listOf(isGiven ? stdio : silent ? 'pipe' : 'inherit');
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
  return nodeError(TypeError, 'ERR_INVALID_ARG_TYPE', `The ${named(name)} must be ${wanted}. Received ${show(given)}`);
}

function invalidValue(name, rule, given) {
  return nodeError(TypeError, 'ERR_INVALID_ARG_VALUE', `The ${named(name)} ${rule}. Received ${show(given)}`);
}

function named(name) {
  return name.includes('.') ? `property '${name}'` : `argument '${name}'`;
}

function badPort(given) {
  const rule = `Port should be >= 0 and < ${LAST_PORT + 1}. Received ${show(given)}.`;
  return nodeError(RangeError, 'ERR_SOCKET_BAD_PORT', rule);
}

function show(value) {
  return inspect(value, { depth: 0 });
}
