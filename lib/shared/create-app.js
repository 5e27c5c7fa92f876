// What the application hands over: its `createApp` is run and waited for, and a server is made of whatever it gave.
//
// lib/master/master.js, lib/worker/worker.js and lib/single.js call `collectApps` once; the process that listens calls
// `toServer` for each app. Nothing here listens: an app that must be asked to, because its server is hidden, has the
// call caught before it takes effect.
'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');
const cluster = require('node:cluster');
const net = require('node:net');

const { listenersOfOthers, ownListener } = require('./call-application');
const { createError } = require('./errors');
const { onClusterMessage } = require('./node-internals');
const { clearTimeout, setImmediate, setTimeout } = require('./timers');

// After this time without an app the application is told.
const LATE_MS = 10000;

const catcher = new AsyncLocalStorage();
let catching = 0;
let listen;

/**
 * Runs `createApp(callback)` and gives what it hands over: `{apps: [{app, port}], monApp}`. One app comes without a
 * port (it is the option's); entries of a list that lack an app or a port are left out, if others are there.
 *
 * `createApp` calls back, once, at any later time; or it returns its app. If `createApp` takes no callback, or is
 * async, its result is used at once. Otherwise it is used when the event loop is empty and no callback has come.
 * Rejects with what `createApp` throws, with ERR_CLUSTER2_NO_APP when no app can come any more, and with
 * ERR_CLUSTER2_INVALID_APP for one that can't be served.
 *
 * `monApp` is the app for the monitor's port where `createApp` names none. `isWaiting()` says whether the master owes
 * this process an answer; `warn(message)` hears of an app that is late.
 */
function collectApps(createApp, { monApp: usual, isWaiting = () => false, warn = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    let isCalled = false;
    let isSettled = false;
    let returned;
    const settle = (finish, value) => {
      isSettled = true;
      stopWaiting();
      finish(value);
    };
    const take = (app, monApp = usual) => {
      if (isCalled) return;
      isCalled = true;
      // Later, so that a `createApp` that fails right after it called back still makes this reject.
      setImmediate(() => {
        try {
          settle(resolve, { apps: portedApps(app), monApp });
        } catch (error) {
          settle(reject, error);
        }
      });
    };
    const stopWaiting = whenNothingIsLeft(isWaiting, () => {
      if (returned !== undefined) take(returned);
      else if (!isCalled) settle(reject, createError('ERR_CLUSTER2_NO_APP'));
    }, () => {
      if (isAppOrList(returned)) take(returned);
      else if (!isCalled) warn(`createApp has not handed over an app for ${LATE_MS / 1000} s`);
    });
    runCreateApp(createApp, take).then((given) => {
      returned = given.value;
      if (given.isMeant && (isAppOrList(returned) || howToServe(returned))) take(returned);
    }).catch((error) => {
      // Once the app is handed over nobody waits for this promise: a later failure must not be swallowed by it.
      if (isSettled) throw error;
      settle(reject, error);
    });
  });
}

/**
 * Gives the server to listen with for an app: servers as they are, a request listener (express) or Koa app in
 * an HTTP server, Fastify's own once it is ready, and for anything else with a `listen` the server that it
 * would listen with. Rejects with ERR_CLUSTER2_INVALID_APP, or ERR_CLUSTER2_APP_LISTENING for one that
 * listens already.
 */
async function toServer(app) {
  const server = await serverOf(app);
  if (server.listening) {
    throw createError('ERR_CLUSTER2_APP_LISTENING', JSON.stringify(server.address()));
  }
  return server;
}

module.exports = { collectApps, isApp, toServer };

async function serverOf(app) {
  if (app instanceof net.Server) return app;
  if (typeof app === 'function') return createHttpServer(app);
  if (!isApp(app)) throw invalidApp(app);
  if (typeof app.ready === 'function' && app.server instanceof net.Server) {
    await app.ready();
    return app.server;
  }
  if (typeof app.callback === 'function') return createHttpServer(app.callback());
  if (typeof app.listen === 'function') return catchServer(app);
  return app.server;
}

async function runCreateApp(createApp, callback) {
  const value = createApp(callback);
  const isPromise = typeof value?.then === 'function';
  return { value: await value, isMeant: isPromise || createApp.length === 0 };
}

// Waits for an app: calls `onNothing` when the event loop is empty, since then no app can come, and `onLate` after a
// while. Gives a function that ends the waiting.
function whenNothingIsLeft(isWaiting, onNothing, onLate) {
  const { channel } = process;
  const isOver = () => {
    if (cluster.isWorker && process.connected && (isWaiting() || hearsMessages())) channel.ref();
    else onNothing();
  };
  // The channel keeps a worker alive, and so hides that nothing else does. So it does not keep the worker alive while
  // createApp runs. Each message of the master may be the one that createApp waited for.
  const hideChannel = ownListener(() => channel?.unref());
  let stopHearing;
  if (cluster.isWorker) {
    hideChannel();
    process.on('message', hideChannel);
    stopHearing = onClusterMessage(hideChannel);
  }
  process.on('beforeExit', isOver);
  const timer = setTimeout(onLate, LATE_MS).unref();
  return () => {
    clearTimeout(timer);
    process.removeListener('beforeExit', isOver);
    process.removeListener('message', hideChannel);
    stopHearing?.();
    if (cluster.isWorker) channel?.ref();
  };
}

// Whether the application listens for messages of the master, any of which may bring what createApp waits for. Node
// itself listens once.
function hearsMessages() {
  return listenersOfOthers(process, 'message').length > 1 || cluster.worker.listenerCount('message') > 0;
}

function isAppOrList(given) {
  return Array.isArray(given) ? given.some((entry) => isApp(entry?.app)) : isApp(given);
}

// Whether `serverOf` has a way for it.
function isApp(app) {
  if (typeof app === 'function') return true;
  if (typeof app !== 'object' || app === null) return false;
  return app instanceof net.Server || app.server instanceof net.Server || typeof app.listen === 'function'
    || typeof app.callback === 'function';
}

// How an app of a known kind is handed over, where it can't be served as it is.
function howToServe(app) {
  const has = (...methods) => methods.every((method) => typeof app?.[method] === 'function');
  if (isApp(app)) return undefined;
  if (has('then')) return 'await the promise first';
  if (has('initialize') && app.listener instanceof net.Server) {
    return 'call `await server.initialize()`, then hand over `server.listener`';
  }
  if (has('executeOperation')) return 'hand over an express app that uses its middleware (`expressMiddleware(server)`)';
  if (has('prepare', 'getRequestHandler')) {
    return 'call `await app.prepare()`, then hand over `http.createServer(app.getRequestHandler())`';
  }
  // Before Hono: h3 2 has a `fetch` as well.
  if (has('use') && 'handler' in app) return 'hand over `toNodeHandler(app)` of h3/node (h3 1: `toNodeListener(app)`)';
  if (has('fetch')) return 'hand over `createAdaptorServer(app)` of @hono/node-server';
  return undefined;
}

// Loaded when needed: an application of raw sockets starts faster without it.
function createHttpServer(listener) {
  return require('node:http').createServer(listener);
}

function portedApps(app) {
  const apps = Array.isArray(app) ? entriesOf(app) : [{ app, port: undefined }];
  const invalid = apps.find((entry) => !isApp(entry.app));
  if (invalid) throw invalidApp(invalid.app);
  return apps;
}

function entriesOf(app) {
  // Entries that cannot be served are dropped without a word, as they always were, if others are left.
  // Port 0 is a port.
  const isServed = (entry) => Boolean(entry?.app) && (Boolean(entry.port) || entry.port === 0);
  const entries = app.filter(isServed).map((entry) => ({ app: entry.app, port: entry.port }));
  if (entries.length === 0 && app.length > 0) throw invalidApp(app, 'no entry of the list is `{app, port}`');
  const servers = entries.map((entry) => entry.app).filter((one) => one instanceof net.Server);
  const twice = servers.find((server, at) => servers.indexOf(server) !== at);
  if (twice) throw invalidApp(twice, 'it is in the list twice, and needs one entry with its ports (`port: [80, 81]`)');
  return entries;
}

// Lets the app call `listen`, and takes the server on which it does so. Only calls that descend from this one
// are caught, across awaits too; other servers of the process may start to listen meanwhile.
async function catchServer(app) {
  const { prototype } = net.Server;
  if (catching === 0) {
    ({ listen } = prototype);
    prototype.listen = function listenOrCatch(...args) {
      const take = catcher.getStore();
      if (!take) return Reflect.apply(listen, this, args);
      const ready = args[args.length - 1];
      if (typeof ready === 'function') this.once('listening', ready);
      take(this);
      return this;
    };
  }
  catching += 1;
  try {
    return await new Promise((resolve, reject) => {
      const missed = () => reject(invalidApp(app, 'its `listen` opens no net.Server of this process'));
      const failed = (error) => reject(invalidApp(app, 'its `listen` failed', error));
      // Adapters that were written for cluster2 take what it gave: a port, a host and a callback.
      const rest = app.listen.length >= 3 ? ['127.0.0.1', () => {}] : [];
      catcher.run(resolve, async () => app.listen(0, ...rest)).then(missed, failed);
    });
  } finally {
    catching -= 1;
    if (catching === 0) prototype.listen = listen;
  }
}

function invalidApp(app, problem, cause) {
  const error = createError('ERR_CLUSTER2_INVALID_APP', app, problem ?? howToServe(app));
  return cause ? Object.assign(error, { cause }) : error;
}
