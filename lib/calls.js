// Calls to the supervisor that are answered later, by the event `answered`: each has a ticket and a promise.
//
// lib/master.js makes the calls and passes the answers in. Owns the promises; a call that could not be made rejects at once.
'use strict';

const errors = require('./errors');

class Calls {
  #open = new Map();
  #last = 0;

  /** Makes a call with a new ticket; what it throws, and what is answered with `ok: false`, rejects. */
  make(call) {
    return new Promise((resolve, reject) => {
      const ticket = ++this.#last;
      this.#open.set(ticket, { resolve, reject });
      try {
        call(ticket);
      } catch (error) {
        this.#open.delete(ticket);
        reject(errors.fromNative(error));
      }
    });
  }

  /** The answer to one of them. */
  answered(ticket, { ok, code, message, facts, ...answer }) {
    const call = this.#open.get(ticket);
    this.#open.delete(ticket);
    if (ok) call?.resolve(answer);
    else call?.reject(Object.assign(new errors.Cluster2Error(code, message), facts));
  }
}

// Two errors of the Rust core, where it need not be asked or does not know.
function notRunning() {
  return new errors.Cluster2Error('ERR_CLUSTER2_NOT_RUNNING', 'the cluster is not running');
}

function reloadFailed(cause) {
  return new errors.Cluster2Error('ERR_CLUSTER2_RELOAD_FAILED', `the reload failed: ${cause.message}`, { cause });
}

module.exports = { Calls, notRunning, reloadFailed };
