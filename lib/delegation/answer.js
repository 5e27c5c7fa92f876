// One answer on its way to workers, in the two forms that lib/delegation/delegations.js knows; each is written once,
// however many get it.
'use strict';

class Letter {
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
    if (!this.#error && !this.#echo) return JSON.stringify({ ...fields, type: this.#type });
    const error = this.#error && { error: this.#error };
    return JSON.stringify({ ...this.#echo, ...fields, ...error, type: this.#type });
  }

  /** The form for `c.delegate`: exactly the value, or the error. */
  reply(call) {
    const said = this.#error ? { error: this.#error } : { answer: this.#content };
    // Only the number differs between two that asked for the same.
    this.#reply ??= JSON.stringify({ type: this.#type, ...said });
    return `${this.#reply.slice(0, -1)},"call":${JSON.stringify(call)}}`;
  }

  /** Throws what can't be written as JSON, now rather than when it is sent. */
  write(call) {
    if (call === undefined) return this.text;
    return this.reply(call);
  }
}

/** What a worker is told of an error in the master. */
function reportOf(error) {
  const { name, message, code, stack } = error instanceof Error ? error : { message: String(error) };
  return { message, code: 'ERR_CLUSTER2_DELEGATE_FAILED', cause: { name, message, code, stack } };
}

function othersOf(targets, pid) {
  return targets.filter((target) => target !== pid);
}

function fieldsOf(content) {
  const isObject = typeof content === 'object' && content !== null && !Array.isArray(content);
  if (isObject && typeof content.toJSON !== 'function') return content;
  return content === undefined ? {} : { answer: content };
}

module.exports = { Letter, othersOf, reportOf };
