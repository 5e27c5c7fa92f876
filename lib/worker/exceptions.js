// Uncaught exceptions in a worker: the master is told of each, and a worker that serves goes on with other requests.
//
// lib/shared/whose-worker.js and lib/node-cluster/agent.js call `reportExceptions` when a worker loads the package.
// lib/worker/worker.js calls `trapExceptions` when the worker serves, or when it starts if it is to go on in any case.
// Owns two listeners of the process.
'use strict';

const { traceOfThrown } = require('../shared/call-application');
const { isListenerOfDomain } = require('../shared/node-internals');
const { say } = require('../shared/stderr');
const { headline } = require('./counting/scoreboard');
const { tell } = require('./send-to-master');

// By these marks, reporters of errors (Sentry, PostHog) tell their own listeners from those of the application.
const MARKS_OF_REPORTERS = ['_errorHandler', '_posthogErrorHandler'];

/**
 * From now on tells the master the text of each uncaught exception, also of one that ends this process at its
 * start.
 */
function reportExceptions() {
  process.on('uncaughtExceptionMonitor', (error) => tell({ act: 'fatal', text: headline(error) }));
}

/**
 * From now on an uncaught exception is printed, `warning` is emitted, and `mode` counts: with 'recycle' the worker goes
 * on until a successor serves, with 'continue' it goes on, with 'exit' it ends as Node does. A listener of the
 * application for 'uncaughtException' takes all of that over. Gives a function that ends it.
 */
function trapExceptions(cluster, mode) {
  if (mode === 'exit') return () => {};
  const trap = (error) => {
    if (process.listeners('uncaughtException').some((listener) => listener !== trap && handles(listener))) return;
    print(error);
    try {
      cluster.emit('warning', { message: `uncaught exception: ${headline(error)}` });
    } catch (second) {
      // Thrown further, it would come back here and be warned of again, for ever.
      print(second);
    }
    if (mode === 'recycle') tell({ act: 'recycle', why: 'exception' });
  };
  // First, since a listener that was added by `once` is gone from the list when it has been called.
  process.prependListener('uncaughtException', trap);
  return () => process.removeListener('uncaughtException', trap);
}

module.exports = { reportExceptions, trapExceptions };

// Whether a listener means to decide what becomes of the process. Node's and those of reporters do not: without others
// they have the process end.
function handles(listener) {
  return !isListenerOfDomain(listener) && !MARKS_OF_REPORTERS.some((mark) => listener[mark] === true);
}

// As Node prints an exception that ends a process: with its properties, its cause and the errors that it holds.
function print(error) {
  say(`${error instanceof Error ? '' : 'Uncaught:\n'}${traceOfThrown(error)}`);
}
