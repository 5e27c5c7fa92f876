// One answer to be sent to workers, in the two forms that lib/delegation/delegations.js knows.
//
// Each form is written once, however many workers get it. Owns nothing else.
'use strict';

const { textOfThrown } = require('../shared/call-application');

class Answer {
  #type;
  #content;
  #error;
  #echo;
  #text;
  #reply;

  /**
   * `content` is what was answered or, beside an `error`, the question; `echo` are fields that the answer should have.
   */
  constructor(type, content, error, echo) {
    this.#type = type;
    this.#content = content;
    this.#error = error;
    this.#echo = echo;
  }

  /** The form of cluster2: the object with `type` set; what is no object is in `answer`. */
  get text() {
    this.#text ??= this.#write();
    return this.#text;
  }

  #write() {
    const fields = fieldsOf(this.#content);
    if (!this.#error) return JSON.stringify({ ...this.#echo, ...fields, type: this.#type });
    const failure = { error: this.#error, type: this.#type };
    try {
      return JSON.stringify({ ...fields, ...failure });
    } catch {
      // The application got the question, and put into it what can't be written.
      return JSON.stringify(failure);
    }
  }

  /** The form for `c.delegate`: exactly the value, or the error. */
  forCall(call) {
    const said = this.#error ? { error: this.#error } : { answer: this.#content };
    // Only the number differs between two that asked for the same.
    this.#reply ??= JSON.stringify({ type: this.#type, ...said });
    return `${this.#reply.slice(0, -1)},"call":${JSON.stringify(call)}}`;
  }

  /** Throws what can't be written as JSON, now rather than when it is sent. */
  write(call) {
    if (call === undefined) return this.text;
    return this.forCall(call);
  }
}

/** What a worker is told of an error in the master. */
function reportOf(error) {
  const message = textOfThrown(error);
  const cause = { message };
  if (error instanceof Error) for (const field of ['name', 'code', 'stack']) cause[field] = textOf(error, field);
  return { message, code: 'ERR_CLUSTER2_DELEGATE_FAILED', cause };
}

// Only texts and numbers are of use to a worker; a getter may throw.
function textOf(error, field) {
  try {
    return ['string', 'number'].includes(typeof error[field]) ? error[field] : undefined;
  } catch {
    return undefined;
  }
}

function othersOf(targets, pid) {
  return targets.filter((target) => target !== pid);
}

function fieldsOf(content) {
  const isObject = typeof content === 'object' && content !== null && !Array.isArray(content);
  if (isObject && typeof content.toJSON !== 'function') return content;
  return content === undefined ? {} : { answer: content };
}

module.exports = { Answer, othersOf, reportOf };
