// Calls of the application from inside this package, in every process.
//
// A listener, a callback or a function of the application may throw, and may give anything. It must not interrupt the
// work that called it. Owns the list of our own listeners where the application listens too.
'use strict';

const own = new WeakSet();

/**
 * Calls a function of the application. What it throws becomes the application's uncaught exception, as with any
 * EventEmitter, but one turn of `process.nextTick` later: the caller finishes its own work first.
 */
function callApplication(call) {
  try {
    call();
  } catch (error) {
    process.nextTick(() => { throw error; });
  }
}

/** Marks a listener as one of this package, where the application may listen too. Gives it. */
function ownListener(listener) {
  own.add(listener);
  return listener;
}

/** The listeners for an event that are not of this package. */
function listenersOfOthers(emitter, event) {
  return emitter.listeners(event).filter((listener) => !own.has(listener));
}

/** What the application threw, as a text. It need not be an error, and it never makes this throw. */
function textOfThrown(thrown) {
  try {
    return String(thrown?.message ?? thrown);
  } catch {
    return 'something that cannot be shown';
  }
}

/** The same with its stack, its properties and its causes, as Node prints an uncaught exception. */
function traceOfThrown(thrown) {
  try {
    return require('node:util').inspect(thrown);
  } catch {
    return textOfThrown(thrown);
  }
}

/** Whether JSON has something to say of it, which of undefined and functions it has not. Throws as `JSON.stringify`. */
function isValue(given) {
  return JSON.stringify(given) !== undefined;
}

module.exports = { callApplication, isValue, listenersOfOthers, ownListener, textOfThrown, traceOfThrown };
