'use strict';

// What can go wrong in JavaScript, one permanent code each; the codes of the Rust core are in src/error.rs.
//
// Called by everything in lib/ that throws. A code is never renamed and never used for something else;
// docs/errors.md lists them all, and a test compares both lists with it. Owns nothing.

// code -> the message, made from what the caller knows of the case. ERR_CLUSTER2_UNSUPPORTED_NODE has its own in
// check-node.js, which an older Node reads.
const messages = {
  ERR_CLUSTER2_CREATE_APP: (given) => `createApp must be a function, got ${show(given)}`,
  ERR_CLUSTER2_CREATE_APP_UNUSED: (exec) =>
    `listen() takes no createApp together with the option \`exec\`: workers run ${show(exec)} as it is`,
  ERR_CLUSTER2_EXEC: (given, problem) => `option \`exec\` must name a script for Node, got ${show(given)}: ${problem}`,
  ERR_CLUSTER2_ALREADY_LISTENING: () =>
    'listen() was called before in this process, and one process runs one cluster only',
  ERR_CLUSTER2_NOT_MAIN_THREAD: () =>
    'listen() was called in a thread of node:worker_threads, and only the main thread of a process starts workers; ' +
    'call it there, or set cluster: false',
  ERR_CLUSTER2_PERMISSION: (target, folder) =>
    `the native addon for ${target} may not be loaded, because Node runs with --permission: give it --allow-addons ` +
    `and --allow-fs-read=${folder}`,
  ERR_CLUSTER2_UNSUPPORTED_PLATFORM: (target, supported) =>
    `cluster2-rs does not run on ${target}; it runs on ${supported.join(', ')}`,
  ERR_CLUSTER2_NATIVE_MISSING: (target, missing, advice) =>
    `the native addon for ${target} is missing: neither ${missing.join(' nor the package ')} is there. ${advice}`,
  ERR_CLUSTER2_NO_SCRIPT: () =>
    'workers run the script again, but this process runs none (node -e, standard input or the REPL); ' +
    'put the code into a file, or set cluster: false',
  ERR_CLUSTER2_SERIALIZATION: (given) =>
    `workers are spoken to in JSON, but setupPrimary() asked for ${show(given)}; leave serialization at 'json'`,
  ERR_CLUSTER2_INVALID_APP: (given, advice = 'hand over a net, http, https or http2 server, a function ' +
    '(request, response), an express, koa or fastify app, anything else with a function listen, or a list of ' +
    '{app, port}') => `createApp handed over ${show(given)}, which can't be served: ${advice}`,
  ERR_CLUSTER2_NO_APP: () =>
    'createApp has neither called back with an app nor returned one, and nothing is left that could still do so',
  ERR_CLUSTER2_INVALID_MON_APP: (given) =>
    `createApp handed over ${show(given)} for the monitor's port, which answers no HTTP requests`,
  ERR_CLUSTER2_APP_LISTENING: (address) =>
    `createApp handed over an app that is listening already, on ${address}; ` +
    'hand over one that is not listening: each worker listens by itself',
  ERR_CLUSTER2_CHANNEL_FULL: (pid) =>
    `the message was not sent: worker ${pid} does not read its channel, and its queue is full`,
  ERR_CLUSTER2_WORKER_GONE: (pid) => `the message was not sent: worker ${pid} has gone`,
  ERR_CLUSTER2_INVALID_ARGUMENT: (name, wanted, given) => `the argument ${name} must be ${wanted}, got ${show(given)}`,
  ERR_CLUSTER2_DELEGATE_TIMEOUT: (type, wait) => `'${type}' was not answered within ${wait} ms`,
  ERR_CLUSTER2_DELEGATE_FAILED: (type, problem) => `'${type}' failed in the master: ${problem}`,
  ERR_CLUSTER2_UNKNOWN_COMPONENT: (name) => `no component was registered as ${show(name)}`,
  ERR_CLUSTER2_OTHER_VERSION: (copy, first) =>
    `this worker speaks with its master by cluster2-rs ${first.version} from ${first.folder}, which was loaded ` +
    `first; a Cluster of version ${copy.version} from ${copy.folder} can't serve here`,
  ERR_CLUSTER2_FORK: () =>
    'the Cluster that runs in this process forks the workers; say how many in its option `noWorkers`',
};

// Thrown for everything that this package reports as failed; compare `code`, never the text.
class Cluster2Error extends Error {
  static {
    Object.defineProperty(this.prototype, 'name', { value: 'Cluster2Error', writable: true, configurable: true });
  }

  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }
}

// The error for one of the codes above; `details` are the arguments of its message.
function createError(code, ...details) {
  const error = new Cluster2Error(code, messages[code](...details));
  Error.captureStackTrace(error, createError);
  return error;
}

// What the Rust core threw, as an error of this package; anything else is given back as it is.
function fromNative(error) {
  if (error instanceof Cluster2Error || !String(error?.code).startsWith('ERR_CLUSTER2_')) return error;
  const wrapped = new Cluster2Error(error.code, error.message, error.cause && { cause: error.cause });
  Error.captureStackTrace(wrapped, fromNative);
  return wrapped;
}

module.exports = { Cluster2Error, createError, fromNative, messages };

// One line, cut where it gets long; a getter or proxy that throws must not hide the error to be reported.
function show(value) {
  let text;
  try {
    text = require('node:util').inspect(value, { depth: 0, breakLength: Infinity, compact: true, maxStringLength: 80 });
  } catch {
    text = typeof value;
  }
  const line = text.replace(/\s+/g, ' ');
  return line.length > 80 ? `${line.slice(0, 80)}\u2026` : line;
}
