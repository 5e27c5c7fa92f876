// Calls to the supervisor that are answered later, by the event `answered`: each has a ticket and a promise.
//
// The roles of lib/cluster.js make the calls and pass the answers in. A worker's calls go over its channel. Owns the
// promises; a call that could not be made rejects at once.
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

  /** Whether one waits for its answer. */
  get isOpen() {
    return this.#open.size > 0;
  }

  /** The answer to one of them. */
  answered(ticket, { ok, code, message, facts, ...answer }) {
    const call = this.#open.get(ticket);
    this.#open.delete(ticket);
    if (ok) call?.resolve(answer);
    else call?.reject(Object.assign(new errors.Cluster2Error(code, message), facts));
  }

  /** No answer will come: open calls reject with ERR_CLUSTER2_NOT_RUNNING. */
  end() {
    for (const { reject } of this.#open.values()) reject(notRunning());
    this.#open.clear();
  }
}

// Two errors of the Rust core that JavaScript makes: before the core is asked, and for what the core does not see.
function notRunning() {
  return new errors.Cluster2Error('ERR_CLUSTER2_NOT_RUNNING', 'the cluster is not running');
}

function reloadFailed(cause) {
  return new errors.Cluster2Error('ERR_CLUSTER2_RELOAD_FAILED', `the reload failed: ${cause.message}`, { cause });
}

/** A reason as it goes over the border: a string or nothing. */
function textOf(reason) {
  return reason === undefined || reason === null ? undefined : String(reason);
}

module.exports = { Calls, notRunning, reloadFailed, textOf };
