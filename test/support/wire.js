// HTTP/1.1 on a raw connection, TCP, unix or TLS: for clients that must see exactly what the server does to them.
//
// Answers carry a Content-Length. Owns its socket.
'use strict';

const net = require('node:net');
const tls = require('node:tls');

/** What went wrong, in the words of the counters. */
class Failure extends Error {
  constructor(kind, text) {
    super(text);
    this.kind = kind;
  }
}

class Wire {
  #socket;
  #received = '';
  #error;
  #ended = false;
  #mustClose = false;
  #look = () => {};

  /** Resolves with an open connection to `{host, port, tls}` or `{path}`. */
  static open(where, within) {
    return new Promise((resolve, reject) => {
      const socket = where.tls ? tls.connect({ ...where, rejectUnauthorized: false }) : net.connect(where);
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new Failure('timedOut', 'no connection'));
      }, within);
      socket.once('error', reject);
      socket.once(where.tls ? 'secureConnect' : 'connect', () => {
        clearTimeout(timer);
        socket.removeListener('error', reject);
        resolve(new Wire(socket));
      });
      socket.once('close', () => clearTimeout(timer));
    });
  }

  constructor(socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (text) => { this.#received += text; this.#look(); });
    socket.on('error', (error) => { this.#error = error; this.#look(); });
    for (const event of ['end', 'close']) socket.on(event, () => { this.#ended = true; this.#look(); });
  }

  /** Whether another request may be sent. */
  get isOpen() {
    return !this.#ended && !this.#error && !this.#mustClose;
  }

  /** The client's own port. */
  get localPort() {
    return this.#socket.localPort;
  }

  /** What came and is no whole answer yet. */
  get received() {
    return this.#received;
  }

  send(text) {
    this.#socket.write(text);
  }

  close() {
    this.#socket.destroy();
  }

  /** Sends one request; resolves with `{status, body}`. */
  async ask(text, within) {
    const [answer] = await this.askAll(text, 1, within);
    return answer;
  }

  /** Sends `count` requests at once; resolves with their answers. A close before the last answer is a failure. */
  askAll(text, count, within) {
    this.send(text);
    const answers = [];
    return this.#until(() => {
      for (let answer = this.#take(); answer; answer = this.#take()) {
        answers.push(answer);
        if (answer.isLast) this.#mustClose = true;
        if (answer.isLast && answers.length < count) throw new Failure('reset', 'closed amid a pipeline');
      }
      if (answers.length >= count) return answers;
      if (this.#received !== '' && this.#ended) throw new Failure('shortBody', 'ended amid an answer');
      return undefined;
    }, within);
  }

  /** Gives each line to `deed` until it returns true, or the other side ends the connection. */
  lines(deed, within) {
    return this.#until((isOver) => {
      for (let end = this.#received.indexOf('\n'); end >= 0; end = this.#received.indexOf('\n')) {
        const line = this.#received.slice(0, end).trimEnd();
        this.#received = this.#received.slice(end + 1);
        if (deed(line)) return true;
      }
      return isOver;
    }, within, true);
  }

  #until(find, within, mayEnd = false) {
    return new Promise((resolve, reject) => {
      const settle = (done, value) => {
        clearTimeout(timer);
        this.#look = () => {};
        if (done === reject) this.close();
        done(value);
      };
      this.#look = () => {
        timer.refresh();
        try {
          const found = find(mayEnd && (this.#ended || this.#error !== undefined));
          if (found) settle(resolve, found);
          else if (this.#error) settle(reject, this.#error);
          else if (this.#ended) settle(reject, new Failure('reset', 'ended without an answer'));
        } catch (error) {
          settle(reject, error);
        }
      };
      const timer = setTimeout(() => settle(reject, new Failure('timedOut', 'no answer')), within);
      this.#look();
    });
  }

  #take() {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const head = this.#received.slice(0, end);
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    const body = this.#received.slice(end + 4, end + 4 + length);
    if (body.length < length) return undefined;
    this.#received = this.#received.slice(end + 4 + length);
    return { status: Number(head.slice(9, 12)), body, isLast: /^connection: close/im.test(head) };
  }
}

module.exports = { Wire, Failure };
