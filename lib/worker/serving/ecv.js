// The ECV path on the application's own port: answered before the application sees the request, on every kind of HTTP
// server.
//
// lib/worker/serving/servers.js hands over each server before it listens. What is said is Rust's (`EcvAnswers`); here
// the requests are caught, the self-check is run, and the state is read at the moment of the answer. A request costs
// the application one comparison of its URL. Requests to that path that are not ours (another method; control that is
// off) pass on.
'use strict';

const { encode } = require('../../shared/options-json');
const { load } = require('../../shared/native');

// How an HTTP/1 server hands a request over; an HTTP/2 server does so by 'stream'.
const REQUESTS = new Set(['request', 'checkContinue', 'checkExpectation']);
const PLAIN = ['content-type', 'text/plain', 'Connection', 'close'];
const UNAVAILABLE = { status: 503, headers: PLAIN, body: 'No master\n' };
// What HTTP/2 does not allow in a header.
const CONNECTION = /^connection$/i;

class Ecv {
  #made;
  #raw;
  #options;
  #port;
  #host;
  #guarded = new WeakMap();

  /**
   * `host` is the role that serves: `isOut()` tells whether the cluster is out of rotation, `rotate(disabled, by,
   * reason)` changes that, `checked(isWell)` hears of each self-check, `warn(message)` tells the application.
   */
  constructor({ parsed, raw, validator }, host) {
    const { ecv, port } = parsed;
    this.#options = { ...ecv, validator: ecv.validator ? validator : undefined };
    [this.#port] = port;
    this.#host = host;
    this.#raw = raw;
  }

  // Made when somebody asks for the first time: a worker listens sooner without it.
  get #answers() {
    this.#made ??= new (load().EcvAnswers)(encode(this.#raw), new Date(performance.timeOrigin).toString());
    return this.#made;
  }

  /** Answers on this server from now on; nothing happens on one that does not speak HTTP. */
  guard(server) {
    const isHttp2 = typeof server.updateSettings === 'function';
    if (!isHttp2 && typeof server.closeIdleConnections !== 'function') return;
    const { monitor, timeout, validator } = this.#options;
    const rules = { path: monitor ?? '/', timeout, validator, onResult: (isWell) => this.#host.checked(isWell) };
    const guarded = { rules, check: undefined, address: undefined };
    this.#guarded.set(server, guarded);
    // Kept, since a server that is closed knows no address, while the port may well be served by others.
    server.once('listening', () => { guarded.address = server.address(); });
    const { emit } = server;
    const { path } = this.#options;
    const takes = (event, first, second) => this.#takes(server, event, first, second);
    server.emit = function emitOrAnswer(event, first, second) {
      // By far most events are these, and go on after one comparison; V8 is slow with `arguments` (0.1 us).
      if (event === 'connection') return emit.call(this, event, first);
      const isOther = event === 'request' && typeof first?.url === 'string' && !first.url.startsWith(path);
      if (isOther) return emit.call(this, event, first, second);
      return takes(event, first, second) || emit.apply(this, arguments);
    };
  }

  #takes(server, event, first, second) {
    if (REQUESTS.has(event)) {
      // Of HTTP/2 the stream behind it was seen before.
      if (first?.httpVersionMajor !== 1 || !this.#isNear(first.url)) return false;
      return this.#serve(server, new Http1Exchange(first, second));
    }
    if (event !== 'stream' || !this.#isNear(second?.[':path'])) return false;
    return this.#serve(server, new Http2Exchange(first, second));
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
      this.#tell(server, exchange);
      return true;
    }
    const isControl = asked === 'disable' || asked === 'enable';
    if (!isControl || method !== 'POST' || !this.#options.control) return false;
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

  async #control(exchange, disabled, query) {
    const { peer, headers } = exchange;
    const { authorization, 'sec-fetch-site': site, origin, host = headers[':authority'] } = headers;
    if (!this.#answers.admits(peer, authorization, site, origin, host)) {
      exchange.answer(this.#answers.refused());
      return;
    }
    this.#host.warn(`${disabled ? 'Disable' : 'Enable'} request received`);
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
  #response;

  constructor(request, response) {
    this.url = request.url;
    this.method = request.method;
    this.headers = request.headers;
    const { remoteAddress, localAddress, localPort } = request.socket;
    this.peer = remoteAddress;
    this.ip = localAddress;
    this.localPort = localPort;
    this.#response = response;
    // A body is of no interest, and unread it would hold up the end of the connection.
    request.resume();
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
    // A client that goes away before its answer is no concern of the application's.
    stream.on('error', () => {});
    stream.resume();
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
