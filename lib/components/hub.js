// The master's part of componentStatus: it knows which process has which component, asks those processes, and collects
// their answers.
//
// lib/master/master.js passes in what workers tell (`hear`) and their deaths (`gone`); answers to workers leave
// through `send`. A name stays known when the last process that had the component has gone, as in cluster2. Owns one
// timer for each open question.
'use strict';

const errors = require('../shared/errors');
const { textOfThrown } = require('../shared/call-application');
const { clearTimeout, setTimeout } = require('../shared/timers');

const LIMIT_MS = 3000;

class ComponentHub {
  #send;
  #warn;
  #answer = async () => undefined;
  /** component -> `{reducer, pids}`; the master's own pid is among them. */
  #components = new Map();
  #reducers = new Map();
  #questions = new Map();
  #last = 0;

  /** `send(pid, fact)` says something to a worker; `warn(message)` hears of a handler that fails. */
  constructor(send, warn) {
    this.#send = send;
    this.#warn = warn;
  }

  /** `answer(question)` says what the master itself knows. */
  start(answer) {
    this.#answer = answer;
  }

  register(component, reducer, pid = process.pid) {
    const isNew = !this.#components.has(component);
    const known = this.#components.get(component) ?? { pids: new Set() };
    known.reducer = reducer;
    known.pids.add(pid);
    this.#components.set(component, known);
    if (isNew) for (const other of this.#workers()) this.#send(other, { names: [component] });
  }

  hasReducer(reducer, pid = process.pid) {
    const pids = this.#reducers.get(reducer) ?? new Set();
    this.#reducers.set(reducer, pids.add(pid));
  }

  names() {
    return [...this.#components.keys()];
  }

  mayKnow(name) {
    return this.#components.has(name);
  }

  /** Asks all processes that have the component; resolves with `{reducer, values}`, after 3 s with what there is. */
  async collect({ name, how, params, value, worker }) {
    const component = this.#components.get(name);
    if (!component) throw errors.createError('ERR_CLUSTER2_UNKNOWN_COMPONENT', name);
    const pids = [...component.pids].filter((pid) => worker === undefined || isCalled(pid, worker));
    const values = await this.#askAll(pids, { name, how, params, value });
    return { reducer: component.reducer, values };
  }

  /** Has a process that knows the reducer apply it; resolves with `{value}`, or undefined. */
  async reduce(name, values) {
    const [pid] = this.#reducers.get(name) ?? [];
    if (pid === undefined) return undefined;
    const [value] = await this.#askAll([pid], { name, values, how: 'reduce' });
    return { value: value ?? null };
  }

  /** A worker tells of a component or a reducer that it has, answers a question, or asks one. */
  hear(pid, { component, reducer, answer, problem, collect, id, ...rest }) {
    if (component !== undefined) {
      if (component === 'worker') this.#send(pid, { names: this.names() });
      this.register(component, reducer, pid);
    } else if (reducer !== undefined) {
      this.hasReducer(reducer, pid);
    } else if (answer !== undefined) {
      this.#questions.get(answer)?.(pid, 'value' in rest ? rest : undefined, problem);
    } else if (collect !== undefined) {
      this.#collectFor(pid, collect, id);
    }
  }

  /** A worker has gone: it has no component any more, and no question waits for it. */
  gone(pid) {
    for (const { pids } of this.#components.values()) pids.delete(pid);
    for (const pids of this.#reducers.values()) pids.delete(pid);
    for (const take of this.#questions.values()) take(pid);
  }

  #workers() {
    const [...pids] = this.#components.get('worker')?.pids ?? [];
    return pids.filter((pid) => pid !== process.pid);
  }

  async #collectFor(pid, question, id) {
    try {
      const result = question.how === 'reduce'
        ? await this.reduce(question.name, question.values)
        : await this.collect(question);
      this.#send(pid, { collected: id, result });
    } catch {
      this.#send(pid, { collected: id, isUnknown: true });
    }
  }

  /** Resolves with the values of those processes that have one, in the order of `pids`. */
  #askAll(pids, question) {
    this.#last += 1;
    const id = this.#last;
    const waiting = new Set(pids);
    const answers = new Map();
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer);
        this.#questions.delete(id);
        resolve(pids.filter((pid) => answers.has(pid)).map((pid) => answers.get(pid)));
      };
      const timer = setTimeout(finish, LIMIT_MS);
      this.#questions.set(id, (pid, given, problem) => {
        if (!waiting.delete(pid)) return;
        if (problem !== undefined) this.#warn(`the component ${question.name} failed in process ${pid}: ${problem}`);
        if (given) answers.set(pid, given.value);
        if (waiting.size === 0) finish();
      });
      try {
        for (const pid of pids) this.#ask(pid, id, question);
      } catch (error) {
        // The question holds what can't be sent.
        waiting.clear();
        reject(error);
      }
      if (waiting.size === 0) finish();
    });
  }

  #ask(pid, id, question) {
    if (pid !== process.pid) {
      this.#send(pid, { question, id });
      return;
    }
    const take = (given, problem) => this.#questions.get(id)?.(pid, given, problem);
    this.#answer(question).then(take, (error) => take(undefined, textOfThrown(error)));
  }
}

module.exports = { ComponentHub };

function isCalled(pid, worker) {
  return String(worker) === (pid === process.pid ? `m${pid}` : String(pid));
}
