// `c.delegate`: asks the master and gives a promise of its answer.
//
// In a worker the question goes over the process's channel; in the master it goes to that process's own
// lib/delegation/delegations.js. A question is cluster2's delegate message with a number (`call`) and its payload in
// one piece; the number finds the promise when the answer comes. A question ends by its answer, by its time, or with
// the channel. Owns the promises and their deadlines.
'use strict';

const { Deadlines, milliseconds, Waiting } = require('./deadlines');
const { ownListener } = require('../shared/call-application');
const errors = require('../shared/errors');
const { setImmediate } = require('../shared/timers');
const { send } = require('../worker/send-to-master');

const DEFAULT_MS = 10000;
// The master tells when the time is up. A blocked master can't, and gets so much longer.
const SILENCE_MS = 1000;
// With more in one message, the master would wait for the rest before it begins.
const MOST_IN_ONE = 16;

class Call extends Waiting {
  constructor(id, expect, delegate, wait) {
    super();
    this.id = id;
    this.expect = expect;
    this.delegate = delegate;
    this.wait = wait;
  }

  settle(resolve, reject) {
    this.resolve = resolve;
    this.reject = reject;
  }
}

class Client {
  #send;
  #calls = new Map();
  #last = 0;
  #deadlines = new Deadlines((call) => this.#late(call));

  constructor(send) {
    this.#send = send;
  }

  /** Sends the question; what can't be sent rejects with a code. */
  ask(delegate, payload, { timeout, matches, targets, expect, notification } = {}) {
    if (typeof delegate !== 'string' || delegate === '') {
      return Promise.reject(errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'type', 'a name', delegate));
    }
    this.#last += 1;
    const id = this.#last;
    const name = expect ?? `${delegate}:${process.pid}:${id}`;
    const call = new Call(id, name, delegate, milliseconds(timeout) ?? DEFAULT_MS);
    const message = { type: 'delegate', delegate, expect: call.expect, call: id, payload };
    if (timeout !== undefined) message.timeout = call.wait;
    if (matches !== undefined) message.matches = matches;
    if (targets !== undefined) message.targets = targets;
    if (notification !== undefined) message.notification = notification;
    return new Promise((resolve, reject) => {
      try {
        this.#send(message, this.#calls.size === 0);
      } catch (error) {
        throw error instanceof errors.Cluster2Error ? error : unsendable(message, error);
      }
      call.settle(resolve, reject);
      this.#calls.set(id, call);
      this.#deadlines.add(call, call.wait + SILENCE_MS);
    });
  }

  /** Whether a question waits for its answer. */
  get isOpen() {
    return this.#calls.size > 0;
  }

  /** Takes in any message that came from the master. */
  hear(message) {
    const call = this.#calls.get(message?.call);
    if (!call || call.expect !== message.type) return;
    this.#calls.delete(call.id);
    this.#deadlines.remove(call);
    if (!message.error) call.resolve(message.answer);
    else if (message.error.code === 'ERR_CLUSTER2_DELEGATE_TIMEOUT') call.reject(timedOut(call));
    else call.reject(failed(call, message.error));
  }

  /** The channel has ended: no answer will come. */
  end() {
    for (const call of this.#calls.values()) {
      this.#deadlines.remove(call);
      call.reject(masterGone(call.delegate));
    }
    this.#calls.clear();
  }

  // Answers that came while this process was blocked are heard first.
  #late(call) {
    setImmediate(() => {
      if (this.#calls.delete(call.id)) call.reject(timedOut(call));
    });
  }
}

// A worker's questions on their way to the master. A question that is asked alone is sent at once. While others wait
// for their answers, more questions are likely in the same turn: those are sent together, which saves system calls.
// Each is written when it is asked, so a payload may change afterwards.
class Outbox {
  #waiting = [];

  add(message, isAlone) {
    if (isAlone && this.#waiting.length === 0) {
      send(message);
      return;
    }
    const count = this.#waiting.push(JSON.stringify(message));
    if (count === 1) process.nextTick(() => this.flush());
    if (count === MOST_IN_ONE) this.flush();
  }

  flush() {
    if (this.#waiting.length === 0) return;
    const questions = this.#waiting.join('\n');
    this.#waiting = [];
    if (process.connected) send({ type: 'delegate', questions });
  }
}

/** The client of a worker. The channel may close at any moment, and its end is told to the asker. */
function clientOfWorker() {
  const outbox = new Outbox();
  const client = new Client((message, isAlone) => {
    if (!process.connected) throw masterGone(message.delegate);
    outbox.add(message, isAlone);
  });
  process.on('message', ownListener((message) => client.hear(message)));
  process.on('exit', () => outbox.flush());
  process.on('disconnect', () => client.end());
  return client;
}

/** The client of the master, or of a process without workers: the same messages, within the process. */
function clientOfMaster(delegations) {
  const client = new Client((message) => {
    const copy = JSON.parse(JSON.stringify(message));
    setImmediate(() => delegations.asked(itself, copy));
  });
  const itself = { pid: process.pid, post: (text) => setImmediate(() => client.hear(JSON.parse(text))) };
  return client;
}

module.exports = { clientOfWorker, clientOfMaster };

function timedOut({ delegate, wait }) {
  return errors.createError('ERR_CLUSTER2_DELEGATE_TIMEOUT', delegate, wait);
}

function failed({ delegate }, { message, cause }) {
  const error = errors.createError('ERR_CLUSTER2_DELEGATE_FAILED', delegate, message);
  if (cause) error.cause = Object.assign(new Error(cause.message), cause);
  return error;
}

// Whatever else may be wrong with a message, the payload is the application's.
function unsendable({ payload }, cause) {
  const error = errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'payload', 'what JSON can hold', payload);
  error.cause = cause;
  return error;
}

function masterGone(delegate) {
  return new errors.Cluster2Error('ERR_CLUSTER2_NOT_RUNNING', `'${delegate}' has no answer: the master has gone`);
}
