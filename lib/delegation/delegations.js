// Delegation, the master's side: workers ask, somebody in the master answers, and the answer goes to whom it
// concerns.
//
// lib/master/master.js passes in each message of type 'delegate'; lib/cluster.js passes in each event before its
// listeners get it, since an answer is an event of the name that was expected. So nobody listens per
// question, and no number of questions leaves anything behind. What waits is found by the expected name and
// the values that must match, without a search. Owns no process and no channel: answers leave through the
// `reach` that it is given.
//
// Two forms of question share all this. cluster2's own has no `call`, and its answer is the emitted object
// with `type` set, for all workers or those in `targets`. One by `c.delegate` (lib/delegation/client.js) has a
// `call`, its number, and a `payload`: its asker is told `{type, call, answer}` or `{type, call, error}` with the
// very value that was given, others the first form.
'use strict';

const { Deadlines, Waiting } = require('../worker/drain/deadlines');
const { callApplication, textOfThrown } = require('../shared/application');
const { Letter, othersOf, reportOf } = require('./answer');
const { keyOf, namesOf } = require('./match-key');

const DEFAULT_MS = 10000;
const LONGEST_MS = 0x7fffffff;
const EVERYBODY = '';

class Question extends Waiting {
  // Until it is found out what must match, which questions that are answered at once need not.
  names = [];
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
  #handlers = new Map();
  /** expected name -> names that must match -> `{names, byKey}`, where `byKey` is: their values -> questions. */
  #questions = new Map();
  /** expected name -> what tells subscriptions apart -> `{names, key, targets}`. */
  #subscriptions = new Map();
  #deadlines = new Deadlines((question) => this.#timeOut(question));

  constructor(cluster) {
    this.#cluster = cluster;
  }

  /** `reach(text, pids, except)` says a line to the workers `pids` (without: to all), but not to those in `except`. */
  start(reach) {
    this.#reach = reach;
  }

  /** From now on `answer(payload, message)` answers what is delegated as `type`; its promise is waited for. */
  handle(type, answer) {
    this.#handlers.set(type, answer);
  }

  /** A question of `asker`, which has a `pid` and is told the answer by `post(text)`. */
  asked(asker, message) {
    const { delegate, expect, call } = message;
    if (typeof delegate !== 'string') return;
    const answer = this.#handlers.get(delegate);
    const question = typeof expect === 'string' && expect !== '' ? new Question(asker, message) : undefined;
    if (question && !answer) question.message = unfolded(message);
    // `c.delegate` is answered by the handler alone where there is one.
    if (question && (!answer || call === undefined) && !this.#remember(question)) return;
    if (answer) this.#run(answer, message, question);
    this.#emit(delegate, question?.message ?? message, answer);
    // Most are answered by now.
    if (question && !question.isOver) this.#deadlines.add(question, patience(message));
  }

  #emit(delegate, message, answer) {
    const isHeard = this.#cluster.listenerCount(delegate) > 0;
    // Nobody but a handler: that is the common case, and the quickest. And no worker makes the master throw 'error'.
    if (!isHeard && (answer || delegate === 'error')) return;
    if (isHeard) keepOrigin(message);
    callApplication(() => this.#cluster.emit(delegate, message));
  }

  /** An event is about to be emitted in the master; says whether somebody waited for it. */
  heard(expect, answer) {
    const questions = this.#questions.get(expect);
    const subscriptions = this.#subscriptions.get(expect);
    if (!questions && !subscriptions) return false;
    try {
      this.#answer(expect, answer, questions, subscriptions);
    } catch (error) {
      this.#warn(expect, error);
    }
    return true;
  }

  #answer(expect, answer, questions, subscriptions) {
    const letter = new Letter(expect, answer);
    const answered = questions ? matching(questions, answer) : [];
    try {
      // What can't be written fails here, before anybody is taken for answered.
      for (const { message } of answered) letter.write(message.call);
    } catch (error) {
      for (const question of answered) this.#fail(question.message, question, error);
      return;
    }
    const told = subscriptions && { everybody: false, pids: new Set() };
    for (const question of answered) {
      this.#forget(question);
      this.#send(question, letter, told);
    }
    // Those subscribed before: what answers a question is not its first notification as well.
    if (subscriptions) this.#notify(subscriptions, answer, letter, told);
    for (const question of answered) this.#subscribe(question);
  }

  /** A worker has gone: forgets what was for it alone. */
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
        if (subscription.targets.length === 0) subscriptions.delete(identity);
      }
      if (subscriptions.size === 0) this.#subscriptions.delete(expect);
    }
  }

  // Gives whether it could: what must match may be nested too deeply to be compared.
  #remember(question) {
    const { message } = question;
    question.names = namesOf(message.matches);
    try {
      question.key = keyOf(message, question.names);
    } catch (error) {
      this.#fail(message, question, error);
      return false;
    }
    const byNames = entry(this.#questions, question.expect, () => new Map());
    const { byKey } = entry(byNames, question.names.join('\n'), () => ({ names: question.names, byKey: new Map() }));
    entry(byKey, question.key, () => new Set()).add(question);
    return true;
  }

  #forget(question) {
    question.isOver = true;
    this.#deadlines.remove(question);
    const { expect, names, key } = question;
    const byNames = this.#questions.get(expect);
    const byKey = byNames?.get(names.join('\n'))?.byKey;
    const same = byKey?.get(key);
    if (!same?.delete(question)) return;
    if (same.size === 0) byKey.delete(key);
    if (byKey.size === 0) byNames.delete(names.join('\n'));
    if (byNames.size === 0) this.#questions.delete(expect);
  }

  #timeOut(question) {
    const { message } = question;
    const error = { message: 'timeout', code: 'ERR_CLUSTER2_DELEGATE_TIMEOUT', timeout: patience(message) };
    this.#close(question, new Letter(question.expect, message, error));
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

  // What the handler gave belongs to this question and to no other, whatever else would match.
  #settle(question, result) {
    if (!question || question.isOver) return;
    const { message } = question;
    const echo = {};
    if (message.call === undefined) for (const name of namesOf(message.matches)) echo[name] = message[name];
    const letter = new Letter(question.expect, result, undefined, echo);
    letter.write(message.call);
    this.#close(question, letter);
  }

  #fail(message, question, error) {
    if (!question) {
      this.#warn(message.delegate, error);
    } else if (!question.isOver) {
      this.#close(question, new Letter(question.expect, message, reportOf(error)));
    }
  }

  #warn(type, error) {
    callApplication(() => this.#cluster.emit('warning', {
      message: `what was delegated as '${type}' failed: ${textOfThrown(error)}`,
    }));
  }

  #close(question, letter) {
    this.#forget(question);
    this.#send(question, letter);
    this.#subscribe(question);
  }

  #send({ asker, message: { call, targets } }, letter, told) {
    let receivers = pidsOf(targets);
    if (call !== undefined) {
      asker.post(letter.reply(call));
      told?.pids.add(asker.pid);
      receivers = othersOf(receivers ?? [], asker.pid);
      if (receivers.length === 0) return;
    }
    this.#reach(letter.text, receivers);
    if (!told) return;
    if (!receivers) told.everybody = true;
    else for (const pid of receivers) told.pids.add(pid);
  }

  #subscribe({ expect, message, names, key }) {
    if (!message.notification) return;
    const targets = pidsOf(message.targets);
    const identity = [key, ...names, targets ?? EVERYBODY].join('\n');
    entry(this.#subscriptions, expect, () => new Map()).set(identity, { names, key, targets });
  }

  /** Each worker is told once, however many subscriptions include it. */
  #notify(subscriptions, answer, letter, told) {
    for (const { names, key, targets } of subscriptions.values()) {
      if (told.everybody) return;
      if (keyOf(answer, names) !== key) continue;
      this.#reach(letter.text, targets, told.pids);
      if (!targets) told.everybody = true;
      else for (const pid of targets) told.pids.add(pid);
    }
  }
}

module.exports = { Delegations, milliseconds };

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

// Not enumerable, so that an answer made by spreading the message does not carry it.
function keepOrigin(message) {
  if (!('origin' in message)) Object.defineProperty(message, 'origin', { value: message, enumerable: false });
}

function patience({ timeOut, timeout }) {
  return milliseconds(timeOut) ?? milliseconds(timeout) ?? DEFAULT_MS;
}

/** Whole milliseconds that a timer can wait, or undefined for what is none. */
function milliseconds(value) {
  const number = numberOf(value);
  return number > 0 ? Math.min(Math.ceil(number), LONGEST_MS) : undefined;
}

function pidsOf(targets) {
  return Array.isArray(targets) ? targets.map(numberOf) : undefined;
}

// A message may hold anything, an object that has no primitive value included.
function numberOf(value) {
  return typeof value === 'number' || typeof value === 'string' ? Number(value) : NaN;
}

function entry(map, key, make) {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}
