// Wishes to take the cluster out of rotation or put it back, on their way to the supervisor and back.
//
// Every role of lib/cluster.js has one `Rotation`. It keeps no state of rotation, only the promises of those who wait
// to hear that their wish is done: then every answer that is begun later goes by it.
'use strict';

const { Cluster2Error } = require('./errors');

class Rotation {
  #pass;
  #waiting = new Map();
  #last = 0;

  /** `pass(call, disabled, by, reason)` sends a wish on and gives false where nobody is left to take it. */
  constructor(pass) {
    this.#pass = pass;
  }

  /** Resolves once it is done. Rejects with ERR_CLUSTER2_NOT_RUNNING. */
  set(disabled, by, reason) {
    return new Promise((resolve, reject) => {
      this.#last += 1;
      this.#waiting.set(this.#last, { resolve, reject });
      const text = reason === undefined || reason === null ? undefined : String(reason);
      if (!this.#pass(this.#last, disabled, by, text)) this.#settle(this.#last, (wish) => wish.reject(notRunning()));
    });
  }

  /** The supervisor says that a wish is done. */
  done(call) {
    this.#settle(call, (wish) => wish.resolve());
  }

  /** The supervisor is gone. */
  end() {
    for (const call of [...this.#waiting.keys()]) this.#settle(call, (wish) => wish.reject(notRunning()));
  }

  #settle(call, how) {
    const wish = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (wish) how(wish);
  }
}

function notRunning() {
  return new Cluster2Error('ERR_CLUSTER2_NOT_RUNNING', 'the cluster is not running');
}

module.exports = { Rotation, notRunning };
