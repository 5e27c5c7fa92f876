// What this package itself says on stderr, in every process.
//
// Owns a listener of `process.stderr` for as long as a text is on its way. Without one, a text that can't be written (a
// full disk, a reader that is gone) would be an uncaught exception, which ends a master and has a worker print again.
'use strict';

const { setImmediate } = require('./timers');

let underWay = 0;

/** Writes `text` and a line end; what can't be written is lost. */
function say(text) {
  if (underWay === 0) process.stderr.on('error', ignore);
  underWay += 1;
  process.stderr.write(`${text}\n`, written);
}

module.exports = { say };

function ignore() {}

// Node emits 'error' a little after it has called back.
function written() {
  setImmediate(() => {
    underWay -= 1;
    if (underWay === 0) process.stderr.off('error', ignore);
  }).unref();
}
