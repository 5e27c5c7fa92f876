// What the command and `cluster2 start` say on stdout; what is wrong goes to stderr, by lib/shared/stderr.js.
'use strict';

/** Writes `text` and a line end. */
function print(text) {
  process.stdout.write(`${text}\n`);
}

module.exports = { print };
