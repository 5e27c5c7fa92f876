// What a command can come to: its exit statuses, permanent, and the error that carries one.
'use strict';

/** It was done. */
const DONE = 0;
/** It was not done, or `status` found nobody serving. */
const FAILED = 1;
/** The arguments are not understood. */
const MISUSED = 2;
/** Nothing runs: no master in the directory answers. The number is the one of systemd and LSB. */
const NOT_RUNNING = 3;
/** Something runs, but it is another user's. */
const NOT_ALLOWED = 4;

/** Ends the command: one line on stderr, and this exit status. */
class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

module.exports = { Failure, DONE, FAILED, MISUSED, NOT_RUNNING, NOT_ALLOWED };
