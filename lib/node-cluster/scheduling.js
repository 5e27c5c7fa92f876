// `cluster.schedulingPolicy`: who chooses the worker that gets a new connection.
//
// lib/node-cluster/primary.js puts it upon `cluster`. A program that leaves it alone reads SCHED_RR, as in Node, and
// has the kernel choose a worker for each connection (`scheduling: 'slots'` of this package). A program that sets it
// or NODE_CLUSTER_SCHED_POLICY gets what it says: with SCHED_RR the primary accepts and hands over, with SCHED_NONE all
// workers accept from one socket. What counts is its value at the first `setupPrimary` or fork.
'use strict';

const { createError } = require('../shared/errors');

const SCHED_NONE = 1;
const SCHED_RR = 2;

const BY_NAME = { none: SCHED_NONE, rr: SCHED_RR };
// The option `scheduling` that stands for each.
const OPTIONS = { [SCHED_NONE]: 'shared', [SCHED_RR]: 'rr' };
const RULE = 'cluster.SCHED_RR or cluster.SCHED_NONE';

class Scheduling {
  #chosen = BY_NAME[process.env.NODE_CLUSTER_SCHED_POLICY];
  #option;

  /** Makes `cluster.schedulingPolicy`. */
  defineOn(cluster) {
    Object.defineProperty(cluster, 'schedulingPolicy', {
      get: () => this.#chosen ?? SCHED_RR,
      set: (policy) => { this.#chosen = policy; },
      enumerable: true,
      configurable: true,
    });
  }

  /** What was chosen by now counts. */
  freeze() {
    this.#option ??= this.#chosen === undefined ? 'slots' : OPTIONS[this.#chosen];
    if (this.#option === undefined) {
      throw createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'cluster.schedulingPolicy', RULE, this.#chosen);
    }
  }

  /** The option `scheduling` that stands for it. */
  get option() {
    return this.#option;
  }
}

module.exports = { SCHED_NONE, SCHED_RR, Scheduling };
