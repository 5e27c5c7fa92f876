// How the values of one component, one from each process that has it, are made into one.
//
// Used by lib/components/status.js. A reducer takes what it gave before (null at first) and one more value, and gives
// an object whose `value` counts. Owns nothing.
'use strict';

const add = (memo, element) => ({ value: memo ? memo.value + element : element });

const BUILT_IN = {
  sum: add,
  concat: add,
  avg(memo, element) {
    const { total, count } = memo ?? { total: 0, count: 0 };
    const now = { total: total + element, count: count + 1 };
    return { ...now, value: now.total / now.count };
  },
  array: (memo, element) => ({ value: [...memo?.value ?? [], element] }),
  first: (memo, element) => memo ?? { value: element },
};

class Reducers {
  #own = new Map();

  /** From now on `reduce(memo, element)` is the reducer `name`. */
  set(name, reduce) {
    this.#own.set(name, reduce);
  }

  has(name) {
    return this.#own.has(name) || Object.hasOwn(BUILT_IN, name);
  }

  /** One value of many, or null of none. A name that nobody knows means the sum. */
  reduce(name, values) {
    const own = this.#own.get(name);
    const reduce = own ?? (Object.hasOwn(BUILT_IN, name) ? BUILT_IN[name] : add);
    return values.reduce((memo, element) => reduce(memo, element), null)?.value ?? null;
  }
}

module.exports = { Reducers };
