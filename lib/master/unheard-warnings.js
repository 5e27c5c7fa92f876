// Warnings that the application does not listen for, on stderr: each kind once, so that a lasting fault fills no log.
//
// lib/cluster.js calls it in the process that the user has started. Owns the list of the kinds that were printed.
'use strict';

const { say } = require('../shared/stderr');

const MOST_KINDS = 100;

const printed = new Set();

/** Prints a warning, unless one of its kind was printed before. Two that differ in numbers alone are of one kind. */
function printOnce(warning) {
  const message = String(warning?.message);
  const kind = message.replace(/\d+/g, '0');
  if (printed.has(kind) || printed.size >= MOST_KINDS) return;
  printed.add(kind);
  say(`cluster2: ${message}`);
}

module.exports = { printOnce };
