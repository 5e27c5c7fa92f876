// The ECV path on the application's own port: answered before the application sees the request, on every kind of HTTP
// server.
//
// lib/worker/serving/servers.js asks it about each request whose path begins like the ECV path, and about those of
// proxies, which ask for a whole address. What is said is Rust's (`EcvAnswers`); here the self-check is run, and the
// state is read at the moment of the answer. Requests to that path that are not ours (another method; control that is
// off) pass on to the application.
'use strict';

const { encode } = require('../../shared/options-json');
const { load } = require('../../shared/native');
const { clock } = require('../counting/scoreboard');
const { performance } = require('../../shared/timers');

const PLAIN = ['content-type', 'text/plain', 'Connection', 'close'];
const UNAVAILABLE = { status: 503, headers: PLAIN, body: 'No master\n' };
// What comes before the path where a client asks for the whole address.
const ORIGIN = /^https?:\/\/[^/?#]*/i;
// What HTTP/2 does not allow in a header.
const CONNECTION = /^connection$/i;

class Ecv {
  #made;
  #raw;
  #options;
  #port;
  #board;
  #host;
  #guarded = new WeakMap();

  /**
   * The result of each self-check goes to `board`. `host` is the role that serves: `isOut()` tells whether the
   * cluster is out of rotation, `rotate(disabled, by, reason)` changes that, `warn(message)` tells the application.
   */
  constructor({ parsed, raw, validator }, board, host) {
    const { ecv, port } = parsed;
    this.#options = { ...ecv, validator: ecv.validator ? validator : undefined };
    [this.#port] = port;
    this.#board = board;
    this.#host = host;
    this.#raw = raw;
  }

  // Made when somebody asks for the first time: a worker listens sooner without it.
  get #answers() {
    this.#made ??= new (load().EcvAnswers)(encode(this.#raw), new Date(performance.timeOrigin).toString());
    return this.#made;
  }

  /** What the paths begin with that are answered here. */
  get path() {
    return this.#options.path;
  }

  /**
   * A server listens at `address`. The address is kept: a server that is closed knows none, while others may well serve
   * the port.
   */
  guard(server, address) {
    const { monitor, timeout, validator } = this.#options;
    const rules = { path: monitor ?? '/', timeout, validator, onResult: (isWell) => this.#checked(isWell) };
    this.#guarded.set(server, { rules, address, check: undefined });
  }

  /** Whether the request that an event of the server brings is answered here; the answer may take a while. */
  takes(server, event, first, second) {
    if (event === 'stream') {
      return this.#isNear(second?.[':path']) && this.#serve(server, new Http2Exchange(first, second));
    }
    // Of HTTP/2 the stream behind the request was seen before.
    if (first?.httpVersionMajor !== 1 || !this.#isNear(pathOf(first.url))) return false;
    return this.#serve(server, new Http1Exchange(first, second));
  }

  #isNear(url) {
    return typeof url === 'string' && url.startsWith(this.#options.path);
  }

  // Gives whether the request is ours; the answer may take a while.
  #serve(server, exchange) {
    const [path, query = ''] = exchange.url.split('?', 2);
    const asked = this.#answers.asked(path);
    const { method } = exchange;
    if (asked === 'health' && (method === 'GET' || method === 'HEAD')) {
      exchange.take();
      this.#tell(server, exchange);
      return true;
    }
    const isControl = asked === 'disable' || asked === 'enable';
    if (!isControl || method !== 'POST' || !this.#options.control) return false;
    exchange.take();
    this.#control(exchange, asked === 'disable', query);
    return true;
  }

  async #tell(server, exchange) {
    const isWell = this.#host.isOut() || await this.#isWell(server);
    const { ip = '', localPort } = exchange;
    const port = String(this.#port === 0 ? localPort : this.#port);
    // The state is asked again: what was disabled during the check is disabled.
    exchange.answer(this.#answers.answer(this.#host.isOut(), isWell, ip, port, new Date().toString()));
  }

  #isWell(server) {
    const guarded = this.#guarded.get(server);
    const { SelfCheck } = require('../self-check');
    guarded.check ??= new SelfCheck(server, guarded.address, guarded.rules);
    return guarded.check.isWell();
  }

  #checked(isWell) {
    this.#board.set('checkResult', isWell ? 1 : 2);
    this.#board.set('checkAt', clock());
  }

  async #control(exchange, disabled, query) {
    const { peer, headers } = exchange;
    const { authorization, 'sec-fetch-site': site, origin, host = headers[':authority'] } = headers;
    if (!this.#answers.admits(peer, authorization, site, origin, host)) {
      exchange.answer(this.#answers.refused());
      return;
    }
    // Apart from the request: what a listener of the application throws is its own affair.
    process.nextTick(() => this.#host.warn(`${disabled ? 'Disable' : 'Enable'} request received`));
    try {
      const by = `POST from ${peer ?? 'a unix socket'}`;
      await this.#host.rotate(disabled, by, this.#answers.reasonIn(query) ?? undefined);
      exchange.answer(this.#answers.done(disabled));
    } catch {
      exchange.answer(UNAVAILABLE);
    }
  }
}

/** A request of HTTP/1 and its answer. */
class Http1Exchange {
  #request;
  #response;

  constructor(request, response) {
    this.url = pathOf(request.url);
    this.method = request.method;
    this.headers = request.headers;
    const { remoteAddress, localAddress, localPort } = request.socket;
    this.peer = remoteAddress;
    this.ip = localAddress;
    this.localPort = localPort;
    this.#request = request;
    this.#response = response;
  }

  /** It is answered here. A body is of no interest, and unread it would hold up the end of the connection. */
  take() {
    this.#request.resume();
  }

  answer({ status, headers, body }) {
    this.#response.writeHead(status, headers);
    this.#response.end(body);
  }
}

/** A stream of HTTP/2. */
class Http2Exchange {
  #stream;
  #isHead;

  constructor(stream, headers) {
    this.url = headers[':path'];
    this.method = headers[':method'];
    this.headers = headers;
    const { remoteAddress, localAddress, localPort } = stream.session?.socket ?? {};
    this.peer = remoteAddress;
    this.ip = localAddress;
    this.localPort = localPort;
    this.#stream = stream;
    this.#isHead = this.method === 'HEAD';
  }

  /** It is answered here; a client that goes away before its answer is no concern of the application's. */
  take() {
    this.#stream.on('error', () => {});
    this.#stream.resume();
  }

  answer({ status, headers, body }) {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const fields = { ':status': status };
    for (let at = 0; at < headers.length; at += 2) {
      if (!CONNECTION.test(headers[at])) fields[headers[at].toLowerCase()] = headers[at + 1];
    }
    const isEmpty = this.#isHead || body === '';
    stream.respond(fields, { endStream: isEmpty });
    if (!isEmpty) stream.end(body);
  }
}

module.exports = { Ecv };

function pathOf(url) {
  return String(url).replace(ORIGIN, '');
}
