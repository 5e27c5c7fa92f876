// The master's side of delegation: a worker asks, a handler or a listener in the master answers, and the answer is
// sent to the workers that should get it.
//
// lib/master/master.js passes in each message of type 'delegate'. lib/cluster.js passes in each event before its
// listeners get it, because an answer is an event with the expected name; so no question adds a listener. Open
// questions are found by the expected name and by the values that must match, without a search. Owns the open
// questions and their deadlines. Answers leave through the function `reach`.
//
// There are two forms of question. cluster2's own form has no `call`: its answer is the emitted object with `type`
// set, for all workers or for those in `targets`. A question by `c.delegate` (lib/delegation/client.js) has a number,
// `call`, and a `payload`: the worker that asked gets `{type, call, answer}` or `{type, call, error}` with the very
// value that was given; the workers in `targets` get the first form.
//
// `notification` makes a subscription of a question. One for named workers ends with them, those by `c.delegate` among
// them. One for all workers lasts as long as the master, so there may be only so many.
'use strict';

const { callApplication, textOfThrown } = require('../shared/call-application');
const { Deadlines, milliseconds, numberOf, Waiting } = require('./deadlines');
const { Answer, othersOf, reportOf } = require('./answer');
const { keyOf, namesOf } = require('./match-key');

const DEFAULT_MS = 10000;
const MOST_SUBSCRIPTIONS = 10_000;

class Question extends Waiting {
  // Filled in only if the answer does not come at once.
  names = [];
  // The names as one text.
  group = '';
  key = '';
  isOver = false;

  constructor(asker, message) {
    super();
    this.asker = asker;
    this.message = message;
    // The application gets the message, and may change it.
    this.expect = message.expect;
  }
}

class Delegations {
  #cluster;
  #reach = () => {};
  #isWorker = () => true;
  #handlers = new Map();
  /** expected name -> names that must match -> `{names, byKey}`, where `byKey` is: their values -> questions. */
  #questions = new Map();
  /** expected name -> what tells subscriptions apart -> `{names, key, targets}`. */
  #subscriptions = new Map();
  #subscribed = 0;
  #hasWarned = false;
  #deadlines = new Deadlines((question) => this.#timeOut(question));

  constructor(cluster) {
    this.#cluster = cluster;
  }

  /**
   * `reach(text, pids, except)` says a line to the workers `pids` (without: to all), but not to those in `except`.
   * `isWorker(pid)` says whether such a worker is there now.
   */
  start(reach, isWorker = this.#isWorker) {
    this.#reach = reach;
    this.#isWorker = isWorker;
  }

  /** From now on `answer(payload, message)` answers what is delegated as `type`; its promise is waited for. */
  handle(type, answer) {
    this.#handlers.set(type, answer);
  }

  /** A question has come from `asker`, a process with a `pid` that gets the answer by `post(text)`. */
  asked(asker, message) {
    const { delegate, expect, call } = message;
    if (typeof delegate !== 'string') return;
    const answer = this.#handlers.get(delegate);
    const question = typeof expect === 'string' && expect !== '' ? new Question(asker, message) : undefined;
    if (question && !answer) question.message = unfolded(message);
    // A handler alone answers a question by `c.delegate`. One in cluster2's form an event may answer as well.
    if (question && (!answer || call === undefined) && !this.#remember(question)) return;
    if (answer) this.#run(answer, message, question);
    this.#emit(delegate, question?.message ?? message, answer);
    // Most questions are answered by now, and need no deadline.
    if (question && !question.isOver) this.#deadlines.add(question, patience(message));
  }

  #emit(delegate, message, answer) {
    const isHeard = this.#cluster.listenerCount(delegate) > 0;
    // Usually there is a handler and no listener. And no worker makes the master throw for want of an 'error' listener.
    if (!isHeard && (answer || delegate === 'error')) return;
    if (isHeard) keepOrigin(message);
    callApplication(() => this.#cluster.emit(delegate, message));
  }

  /** The master is about to emit an event: sends it where it is an answer. Gives whether a worker waited for it. */
  heard(expect, answer) {
    const questions = this.#questions.get(expect);
    const subscriptions = this.#subscriptions.get(expect);
    if (!questions && !subscriptions) return false;
    try {
      this.#answer(expect, answer, questions, subscriptions);
    } catch (error) {
      this.#warnOfFailure(expect, error);
    }
    return true;
  }

  #answer(expect, answer, questions, subscriptions) {
    const reply = new Answer(expect, answer);
    const answered = questions ? matching(questions, answer) : [];
    try {
      // An answer that can't be written fails here, before any question counts as answered.
      for (const { message } of answered) reply.write(message.call);
    } catch (error) {
      for (const question of answered) this.#fail(question.message, question, error);
      return;
    }
    const told = subscriptions && { everybody: false, pids: new Set() };
    for (const question of answered) {
      this.#forget(question);
      this.#send(question, reply, told);
    }
    // Subscribers from before; the answer to a question is not also its first notification.
    if (subscriptions) this.#notify(subscriptions, answer, reply, told);
    for (const question of answered) this.#subscribe(question);
  }

  /** A worker has gone: forgets the questions and subscriptions that were for it alone. */
  gone(pid) {
    for (const question of this.#deadlines.all()) {
      const { asker, message: { call, targets } } = question;
      const isForIt = call !== undefined && asker.pid === pid;
      if (isForIt && othersOf(pidsOf(targets) ?? [], pid).length === 0) this.#forget(question);
    }
    for (const [expect, subscriptions] of this.#subscriptions) {
      for (const [identity, subscription] of subscriptions) {
        if (!subscription.targets) continue;
        subscription.targets = othersOf(subscription.targets, pid);
        if (subscription.targets.length > 0) continue;
        subscriptions.delete(identity);
        this.#subscribed -= 1;
        this.#hasWarned = false;
      }
      if (subscriptions.size === 0) this.#subscriptions.delete(expect);
    }
  }

  // Gives whether it could: what must match may be nested too deeply to be compared.
  #remember(question) {
    const { message } = question;
    question.names = namesOf(message.matches);
    question.group = JSON.stringify(question.names);
    try {
      question.key = keyOf(message, question.names);
    } catch (error) {
      this.#fail(message, question, error);
      return false;
    }
    const byNames = entry(this.#questions, question.expect, () => new Map());
    const { byKey } = entry(byNames, question.group, () => ({ names: question.names, byKey: new Map() }));
    entry(byKey, question.key, () => new Set()).add(question);
    return true;
  }

  #forget(question) {
    question.isOver = true;
    this.#deadlines.remove(question);
    const { expect, group, key } = question;
    const byNames = this.#questions.get(expect);
    const byKey = byNames?.get(group)?.byKey;
    const same = byKey?.get(key);
    if (!same?.delete(question)) return;
    if (same.size === 0) byKey.delete(key);
    if (byKey.size === 0) byNames.delete(group);
    if (byNames.size === 0) this.#questions.delete(expect);
  }

  #timeOut(question) {
    const { message } = question;
    const error = { message: 'timeout', code: 'ERR_CLUSTER2_DELEGATE_TIMEOUT', timeout: patience(message) };
    this.#close(question, new Answer(question.expect, message, error));
  }

  #run(answer, message, question) {
    try {
      const result = answer(message.call === undefined ? message : message.payload, message);
      if (typeof result?.then !== 'function') {
        this.#settle(question, result);
        return;
      }
      Promise.resolve(result).then((value) => this.#settle(question, value))
        .catch((error) => this.#fail(message, question, error));
    } catch (error) {
      this.#fail(message, question, error);
    }
  }

  // The handler's answer is for this question only, whatever other questions it would match.
  #settle(question, result) {
    if (!question || question.isOver) return;
    const { message } = question;
    const echo = {};
    if (message.call === undefined) for (const name of namesOf(message.matches)) echo[name] = message[name];
    const reply = new Answer(question.expect, result, undefined, echo);
    reply.write(message.call);
    this.#close(question, reply);
  }

  #fail(message, question, error) {
    if (!question) {
      this.#warnOfFailure(message.delegate, error);
    } else if (!question.isOver) {
      this.#close(question, new Answer(question.expect, message, reportOf(error)));
    }
  }

  #warnOfFailure(type, error) {
    this.#warn(`what was delegated as '${type}' failed: ${textOfThrown(error)}`);
  }

  #warn(message) {
    callApplication(() => this.#cluster.emit('warning', { message }));
  }

  #close(question, reply) {
    this.#forget(question);
    this.#send(question, reply);
    this.#subscribe(question);
  }

  #send({ asker, message: { call, targets } }, reply, told) {
    let receivers = pidsOf(targets);
    if (call !== undefined) {
      asker.post(reply.forCall(call));
      told?.pids.add(asker.pid);
      receivers = othersOf(receivers ?? [], asker.pid);
      if (receivers.length === 0) return;
    }
    this.#reach(reply.text, receivers);
    if (!told) return;
    if (!receivers) told.everybody = true;
    else for (const pid of receivers) told.pids.add(pid);
  }

  #subscribe({ asker, expect, message, names, key }) {
    if (!message.notification) return;
    const targets = this.#subscribers(asker, message);
    if (targets?.length === 0) return;
    const identity = JSON.stringify([key, names, targets]);
    const subscriptions = this.#subscriptions.get(expect) ?? new Map();
    if (subscriptions.has(identity)) return;
    if (this.#subscribed === MOST_SUBSCRIPTIONS) return void this.#warnOfMost(message);
    this.#subscriptions.set(expect, subscriptions.set(identity, { names, key, targets }));
    this.#subscribed += 1;
  }

  // The workers that are told of later answers; undefined is all, those forked later included.
  #subscribers(asker, { call, targets }) {
    const pids = call === undefined ? pidsOf(targets) : [asker.pid, ...pidsOf(targets) ?? []];
    return pids && [...new Set(pids)].filter((pid) => this.#isWorker(pid));
  }

  // Once, until there is room again.
  #warnOfMost({ delegate }) {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#warn(`'${delegate}' asked for notifications that it does not get: there are ${MOST_SUBSCRIPTIONS} ` +
      'subscriptions already, and those without `targets` never end');
  }

  /** Tells each worker once, however many subscriptions include it. */
  #notify(subscriptions, answer, reply, told) {
    for (const { names, key, targets } of subscriptions.values()) {
      if (told.everybody) return;
      if (keyOf(answer, names) !== key) continue;
      this.#reach(reply.text, targets, told.pids);
      if (!targets) told.everybody = true;
      else for (const pid of targets) told.pids.add(pid);
    }
  }
}

module.exports = { Delegations };

/** The questions that an answer answers, in the order in which they came. */
function matching(byNames, answer) {
  const found = [];
  for (const { names, byKey } of byNames.values()) found.push(...byKey.get(keyOf(answer, names)) ?? []);
  return found;
}

/** What listeners in the master get of a question by `c.delegate`: its payload's fields beside those of the message. */
function unfolded(message) {
  const { call, payload } = message;
  const isObject = typeof payload === 'object' && payload !== null && !Array.isArray(payload);
  return call !== undefined && isObject ? { ...payload, ...message } : message;
}

// Not enumerable, so that a listener may spread the message into its answer.
function keepOrigin(message) {
  if (!('origin' in message)) Object.defineProperty(message, 'origin', { value: message, enumerable: false });
}

function patience({ timeOut, timeout }) {
  return milliseconds(timeOut) ?? milliseconds(timeout) ?? DEFAULT_MS;
}

function pidsOf(targets) {
  return Array.isArray(targets) ? targets.map(numberOf) : undefined;
}

function entry(map, key, make) {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}
