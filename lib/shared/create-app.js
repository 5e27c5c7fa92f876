'use strict';

// What the application hands over: its `createApp`, run and listened to, and a server made of whatever it
// gave.
//
// The master and every worker call `collectApps` once; who is to listen calls `toServer` for each app.
// Nothing here listens: an app that must be asked to, because its server is hidden, has the call caught
// before it takes effect.

const { AsyncLocalStorage } = require('node:async_hooks');
const net = require('node:net');

const { Cluster2Error } = require('./errors');

const catcher = new AsyncLocalStorage();
let catching = 0;
let listen;

/**
 * Runs `createApp(callback)` and gives what it passes to the callback: `{apps: [{app, port}], monApp}`. One
 * app comes without a port (it is the option's); of an array the entries that lack an app or a port are left
 * out. `createApp` may be async, may call back at any later time, and its first call counts; if it throws or
 * rejects, so does this.
 */
function collectApps(createApp) {
  return new Promise((resolve, reject) => {
    let isCalled = false;
    let isSettled = false;
    const settle = (finish, value) => {
      isSettled = true;
      finish(value);
    };
    const callback = (app, monApp) => {
      if (isCalled) return;
      isCalled = true;
      // Later, so that a `createApp` that fails right after it called back still makes this reject.
      setImmediate(() => {
        if (app) settle(resolve, { apps: portedApps(app), monApp });
        else settle(reject, invalidApp('createApp called back without one'));
      });
    };
    Promise.resolve(createApp(callback)).catch((error) => {
      // Once the app is handed over nobody waits for this promise: a later failure must not be swallowed by
      // it.
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
    const problem = 'the app listens already: hand it over without calling its `listen`';
    throw failure('ERR_CLUSTER2_APP_LISTENING', problem);
  }
  return server;
}

module.exports = { collectApps, toServer };

async function serverOf(app) {
  if (app instanceof net.Server) return app;
  if (typeof app === 'function') return createHttpServer(app);
  if (typeof app !== 'object' || app === null) throw invalidApp(`it is ${String(app)}`);
  if (typeof app.ready === 'function' && app.server instanceof net.Server) {
    await app.ready();
    return app.server;
  }
  if (typeof app.callback === 'function') return createHttpServer(app.callback());
  if (typeof app.listen === 'function') return catchServer(app);
  if (app.server instanceof net.Server) return app.server;
  throw invalidApp('it must be a server, a request listener, or an object with `listen`');
}

// Loaded when needed: an application of raw sockets starts faster without it.
function createHttpServer(listener) {
  return require('node:http').createServer(listener);
}

function portedApps(app) {
  if (!Array.isArray(app)) return [{ app, port: undefined }];
  // Entries that cannot be served are dropped without a word, as they always were; port 0 is a port.
  const isServed = (entry) => Boolean(entry?.app) && (Boolean(entry.port) || entry.port === 0);
  return app.filter(isServed).map((entry) => ({ app: entry.app, port: entry.port }));
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
      const missed = () => reject(invalidApp('its `listen` opens no net.Server of this process'));
      const failed = (error) => reject(invalidApp('its `listen` failed', error));
      catcher.run(resolve, async () => app.listen(0)).then(missed, failed);
    });
  } finally {
    catching -= 1;
    if (catching === 0) prototype.listen = listen;
  }
}

function invalidApp(problem, cause) {
  return failure('ERR_CLUSTER2_INVALID_APP', `cannot serve this app: ${problem}`, cause);
}

function failure(code, message, cause) {
  return new Cluster2Error(code, message, cause && { cause });
}
