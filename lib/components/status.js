// componentStatus: what each process says of its components, and the one value that is made of it for the whole
// cluster.
//
// Every process has one `ComponentStatus`, which the application gets from `c.componentStatus()`. It knows the
// components and reducers of its own process. What concerns several processes goes to the hub: to
// lib/components/hub.js in the master, and in a worker to the same hub over the channel, by internal messages that the
// application does not see.
'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');

const { isValue, textOfThrown } = require('../shared/call-application');
const errors = require('../shared/errors');
const { notRunning } = require('../shared/pending-calls');
const { Reducers } = require('./reducers');

class ComponentStatus {
  #components = new Map();
  #reducers = new Reducers();
  #hub;

  constructor(hub, ownName) {
    this.#hub = hub;
    for (const name of ['register', 'reducer', 'getComponents', 'getStatus', 'setStatus']) {
      // Scripts take these off the object.
      Object.defineProperty(this, name, { value: this[name].bind(this), enumerable: true });
    }
    this.register('worker', () => ownName, 'array');
  }

  /**
   * From now on `handler(params)` says what this process knows of the component, and `updater(params, value)`
   * changes it; both may give promises. A component without handler is loaded: `loader` is `{path, args}` of a
   * module that exports a function, which is called with `args` and gives the handler, or `{handler, updater}`.
   */
  register(name, handler, reducer = 'sum', updater, loader) {
    const component = typeof handler === 'function' ? { handler, updater } : loaded(loader, updater);
    if (typeof name !== 'string' || name === '') {
      throw errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'name', 'a name', name);
    }
    if (typeof component?.handler !== 'function') {
      throw errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'handler', 'a function', handler);
    }
    // A function given in place of a name is a reducer under the component's own name.
    if (typeof reducer === 'function') this.reducer(name, reducer);
    this.#components.set(name, component);
    this.#hub.register(name, typeof reducer === 'function' ? name : String(reducer));
    return this;
  }

  /** From now on `reduce(memo, element)` is the reducer `name`; memo is null at first, then what it gave: `{value}`. */
  reducer(name, reduce) {
    if (typeof reduce !== 'function') {
      throw errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', 'reduce', 'a function', reduce);
    }
    this.#reducers.set(name, reduce);
    this.#hub.hasReducer(name);
    return this;
  }

  /** The names of all components that were ever registered, in any process. */
  getComponents() {
    return this.#hub.names();
  }

  /** What all processes (or `worker`: a pid, or 'm' and the master's) say of a component, as one value. */
  getStatus(name, { params, worker, done } = {}) {
    return this.#ask({ name, how: 'get', ...asked(params, worker) }, done);
  }

  /** Lets all processes (or `worker`) change a component; what they give becomes one value. */
  setStatus(name, { params, worker, done } = {}, value) {
    return this.#ask({ name, how: 'set', ...asked(params, worker), value }, done);
  }

  #ask(question, done) {
    // As it always was: who waits by callback is told of a wrong name by an exception, where the names are known.
    const isUnknown = !this.#hub.mayKnow(question.name);
    if (isUnknown && done) throw errors.createError('ERR_CLUSTER2_UNKNOWN_COMPONENT', question.name);
    const status = this.#hub.collect(question).then(({ values, reducer }) => this.#reduce(reducer, values));
    if (done) status.then(done, (error) => done(null, error));
    return status;
  }

  #reduce(reducer, values) {
    return this.#reducers.has(reducer) ? this.#reducers.reduce(reducer, values) : this.#elsewhere(reducer, values);
  }

  // A reducer may be known to some processes only.
  async #elsewhere(reducer, values) {
    const { value } = await this.#hub.reduce(reducer, values) ?? { value: this.#reducers.reduce(reducer, values) };
    return value;
  }

  /** For the hub: the answer of this process, `{value}`, or undefined where it has none. Rejects where it fails. */
  async answer({ name, how, params, value, values }) {
    if (how === 'reduce') return valueOf(this.#reducers.reduce(name, values));
    const component = this.#components.get(name);
    const call = how === 'set' ? component?.updater : component?.handler;
    return typeof call === 'function' ? valueOf(await call(params, value)) : undefined;
  }
}

/**
 * A worker's way to the hub: `tell(fact)` says something to it, and gives whether there is somebody to hear it;
 * `hear(fact)` takes in what it says.
 */
class RemoteHub {
  #tell;
  #names = new Set();
  #asked = new Map();
  #last = 0;

  constructor(tell) {
    this.#tell = tell;
  }

  register(component, reducer) {
    this.#names.add(component);
    this.#tell({ component, reducer });
  }

  hasReducer(reducer) {
    this.#tell({ reducer });
  }

  names() {
    return [...this.#names];
  }

  // Only the master knows them all.
  mayKnow() {
    return true;
  }

  collect(question) {
    return this.#ask({ collect: question });
  }

  reduce(name, values) {
    return this.#ask({ collect: { name, values, how: 'reduce' } });
  }

  /** `status` answers what the hub asks. */
  async hear(fact, status) {
    if (fact.names) this.#names = new Set([...fact.names, ...this.#names]);
    if (fact.question) {
      const given = await status.answer(fact.question).catch((error) => ({ problem: textOfThrown(error) }));
      this.#tell({ answer: fact.id, ...given });
    }
    if (!fact.collected) return;
    const { resolve, reject, name } = this.#asked.get(fact.collected) ?? {};
    this.#asked.delete(fact.collected);
    if (fact.isUnknown) reject?.(errors.createError('ERR_CLUSTER2_UNKNOWN_COMPONENT', name));
    else resolve?.(fact.result);
  }

  /** Whether a question waits for its answer. */
  get isOpen() {
    return this.#asked.size > 0;
  }

  /** The channel has ended: open questions reject with ERR_CLUSTER2_NOT_RUNNING. */
  end() {
    for (const { reject } of this.#asked.values()) reject(notRunning());
    this.#asked.clear();
  }

  #ask({ collect }) {
    this.#last += 1;
    return new Promise((resolve, reject) => {
      // What can't be sent throws, and so rejects.
      if (!this.#tell({ collect, id: this.#last })) throw notRunning();
      this.#asked.set(this.#last, { resolve, reject, name: collect.name });
    });
  }
}

/** What the monitor answers: the names of all components, or the value of one. */
async function query(status, component, worker, params) {
  return component ? status.getStatus(component, { worker: worker || undefined, params }) : status.getComponents();
}

module.exports = { ComponentStatus, RemoteHub, query };

// cluster2's handlers got `params.params`, which is what follows `params=` in a query; and the worker was in it, too.
function asked(params, worker) {
  const isObject = typeof params === 'object' && params !== null;
  const given = isObject && 'params' in params ? params.params : params;
  return { params: given, worker: worker ?? (isObject ? params.worker : undefined) };
}

// What can't be sent is no value of any process, the master included.
function valueOf(given) {
  return isValue(given) ? { value: given } : undefined;
}

function loaded(loader, updater) {
  if (!loader?.path) return undefined;
  const requireFromScript = createRequire(path.resolve(process.argv[1] ?? 'script'));
  const component = requireFromScript(loader.path)(...[loader.args ?? []].flat());
  return typeof component === 'function' ? { handler: component, updater } : component;
}
