// Uncaught exceptions in a worker: told to the master, and, once the worker serves, no reason to drop its other
// requests.
'use strict';

const { inspect } = require('node:util');

const { headline } = require('./scoreboard');

/**
 * Tells the master the text of each uncaught exception. The function that it returns is to be called when the
 * worker serves: from then on `mode` counts ('recycle': go on until a successor serves; 'continue': go on; 'exit':
 * Node's way). An application with a handler of its own keeps it, and ours does nothing.
 */
function trapExceptions(cluster, mode, tell, board) {
  // Else the text stands in the row already, where it is found whatever becomes of the channel.
  if (!board.isShared) process.on('uncaughtExceptionMonitor', (error) => tell({ act: 'fatal', text: headline(error) }));
  return () => {
    if (mode === 'exit') return;
    process.on('uncaughtException', (error) => {
      if (process.listenerCount('uncaughtException') > 1) return;
      process.stderr.write(`${error?.stack ?? inspect(error)}\n`);
      cluster.emit('warning', { message: `uncaught exception: ${headline(error)}` });
      if (mode === 'recycle') tell({ act: 'recycle', why: 'exception' });
    });
  };
}

module.exports = { trapExceptions };
