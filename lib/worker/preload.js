// The first file of a worker that runs a script as it is: `node --require <this file> app.js`.
//
// lib/master/script.js puts it before the script. It begins the worker's service, and takes itself out of
// `process.execArgv`, so that programs which the worker forks start without it. Threads of the worker inherit the flag
// all the same, and find nothing to do here.
'use strict';

if (process.env.CLUSTER2_EXEC !== undefined) {
  const { awaitsSocket, board, endsBy, host, servers } = require('../shared/whose-worker');
  require('../shared/nexttick-workaround');
  const own = process.execArgv.indexOf(`--require=${__filename}`);
  if (own >= 0) process.execArgv.splice(own, 1);
  if (host !== undefined) {
    const { EventEmitter } = require('node:events');
    const { Worker } = require('./worker');
    const nothing = () => {};
    const { cleanups, parsed, raw } = host;
    const ofCluster = { client: nothing, onComponents: nothing, wantsComponents: nothing };
    host.worker = new Worker(new EventEmitter(), { awaitsSocket, board, cleanups, parsed, raw, servers, ...ofCluster });
    endsBy(() => host.worker.end());
    require('./share-ports').sharePorts();
    host.worker.runScript();
  }
}
