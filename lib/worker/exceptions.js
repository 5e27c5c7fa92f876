// Uncaught exceptions in a worker: told to the master, and, once the worker serves, no reason to drop its other
// requests.
'use strict';

const { headline } = require('./counting/scoreboard');
const { tell } = require('./send-to-master');

/**
 * From now on tells the master the text of each uncaught exception, also of one that ends this process at its
 * start.
 */
function reportExceptions() {
  process.on('uncaughtExceptionMonitor', (error) => tell({ act: 'fatal', text: headline(error) }));
}

/**
 * To be called when the worker serves: from then on `mode` counts ('recycle': go on until a successor serves;
 * 'continue': go on; 'exit': Node's way). An application with a handler of its own keeps it, and ours does nothing.
 */
function trapExceptions(cluster, mode) {
  if (mode === 'exit') return;
  process.on('uncaughtException', (error) => {
    if (process.listenerCount('uncaughtException') > 1) return;
    process.stderr.write(`${error?.stack ?? require('node:util').inspect(error)}\n`);
    cluster.emit('warning', { message: `uncaught exception: ${headline(error)}` });
    if (mode === 'recycle') tell({ act: 'recycle', why: 'exception' });
  });
}

module.exports = { reportExceptions, trapExceptions };
