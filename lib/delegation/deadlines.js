// Deadlines for very many things at once: one timer per length of time, however many wait.
//
// lib/delegation/delegations.js and lib/delegation/client.js put whatever waits for an answer in here. Things with
// the same length of time are due in the order in which they came, so each length is one linked list, threaded
// through the things themselves, and its timer looks at the head only. A list that gets empty keeps its timer, since
// more is likely to come, and goes when that fires. Invariant: a list has one timer, and none keeps the process
// alive.
'use strict';

const { performance, setTimeout } = require('../shared/timers');

// The longest time that a timer of Node can wait.
const LONGEST_MS = 0x7fffffff;

/** What may wait; a class that extends it can be in one `Deadlines` at a time. */
class Waiting {
  dueAt = 0;
  list = null;
  earlier = null;
  later = null;
}

class Deadlines {
  #lists = new Map();
  #onDue;

  /** `onDue(thing)` is called once for each thing that was not removed in time. */
  constructor(onDue) {
    this.#onDue = onDue;
  }

  add(thing, milliseconds) {
    let list = this.#lists.get(milliseconds);
    if (!list) {
      list = { milliseconds, head: null, tail: null };
      this.#arm(list, milliseconds);
      this.#lists.set(milliseconds, list);
    }
    thing.dueAt = performance.now() + milliseconds;
    thing.list = list;
    thing.earlier = list.tail;
    if (list.tail) list.tail.later = thing;
    else list.head = thing;
    list.tail = thing;
  }

  /** Takes a thing out; says whether it was still in. */
  remove(thing) {
    const { list, earlier, later } = thing;
    if (!list) return false;
    if (earlier) earlier.later = later;
    else list.head = later;
    if (later) later.earlier = earlier;
    else list.tail = earlier;
    thing.list = thing.earlier = thing.later = null;
    return true;
  }

  /** Everything that waits, oldest first for each length of time. */
  all() {
    const things = [];
    for (const { head } of this.#lists.values()) {
      for (let thing = head; thing; thing = thing.later) things.push(thing);
    }
    return things;
  }

  #look(list) {
    const now = performance.now();
    const due = [];
    for (let thing = list.head; thing && thing.dueAt <= now; thing = thing.later) due.push(thing);
    for (const thing of due) this.remove(thing);
    if (list.head) this.#arm(list, Math.max(1, list.head.dueAt - now));
    else this.#lists.delete(list.milliseconds);
    for (const thing of due) this.#onDue(thing);
  }

  #arm(list, milliseconds) {
    setTimeout(() => this.#look(list), Math.min(milliseconds, LONGEST_MS)).unref();
  }
}

/** Whole milliseconds that a timer can wait, or undefined for what is none. */
function milliseconds(value) {
  const number = numberOf(value);
  return number > 0 ? Math.min(Math.ceil(number), LONGEST_MS) : undefined;
}

/** A number, also one in a text. A message may hold anything, an object without a primitive value included. */
function numberOf(value) {
  return typeof value === 'number' || typeof value === 'string' ? Number(value) : NaN;
}

module.exports = { Deadlines, milliseconds, numberOf, Waiting };
