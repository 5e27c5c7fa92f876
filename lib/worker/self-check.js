// Asks the application of this process how it is, as a client would: over the address that it is really bound to.
//
// lib/worker/serving/ecv.js makes one `SelfCheck` per server. However many want to know, one request is under way at
// a time, and all get its result. Each check ends within the timeout, whatever the application does.
'use strict';

const { isSecure, kindOf } = require('./serving/server-kind');
const { clearTimeout, setTimeout } = require('../shared/timers');

const LOOPBACK = { '0.0.0.0': '127.0.0.1', '::': '::1' };
const BAD_STATUS = 300;
// A validator sees at most so much of a body.
const BODY_LIMIT = 1024 * 1024;

class SelfCheck {
  #server;
  #where;
  #rules;
  #underWay;

  /** `address` is where the server listens; `rules` are `{path, timeout, validator, onResult}`. */
  constructor(server, address, rules) {
    this.#server = server;
    this.#where = reachable(address);
    this.#rules = rules;
  }

  /** Resolves with whether the application is well; never rejects. */
  isWell() {
    this.#underWay ??= this.#run().finally(() => { this.#underWay = undefined; });
    return this.#underWay;
  }

  async #run() {
    const { timeout, onResult } = this.#rules;
    const deadline = new Deadline(timeout);
    let isWell = false;
    try {
      isWell = Boolean(await Promise.race([this.#judge(deadline), deadline.passed]));
    } catch {
      // An application that can't be asked is not well, and neither is a validator that throws.
    } finally {
      deadline.end();
    }
    onResult?.(isWell);
    return isWell;
  }

  async #judge(deadline) {
    const { path, validator } = this.#rules;
    const ask = kindOf(this.#server) === 'http2' ? askHttp2 : askHttp1;
    const { status, headers, body } = await ask(this.#where, isSecure(this.#server), path, deadline);
    const isValid = validator ? await validator(status, headers, body) : true;
    return status < BAD_STATUS && isValid;
  }
}

/** A time after which `passed` rejects, and what was given to `onEnd` is called in any case. */
class Deadline {
  #timer;
  #endings = [];

  constructor(ms) {
    this.passed = new Promise((_, reject) => {
      this.#timer = setTimeout(() => reject(new Error('the check took too long')), ms);
    });
    this.passed.catch(() => {});
  }

  onEnd(ending) {
    this.#endings.push(ending);
  }

  end() {
    clearTimeout(this.#timer);
    for (const ending of this.#endings) ending();
  }
}

module.exports = { SelfCheck };

function reachable(address) {
  if (typeof address === 'string') return { socketPath: address };
  return { host: LOOPBACK[address.address] ?? address.address, port: address.port };
}

function askHttp1(where, isTls, path, deadline) {
  const { request } = isTls ? require('node:https') : require('node:http');
  return new Promise((resolve, reject) => {
    const headers = { accept: 'application/json', connection: 'close' };
    // The certificate is for other names than this address; who could stand in between on this machine?
    const sent = request({ ...where, path, headers, agent: false, rejectUnauthorized: false });
    deadline.onEnd(() => sent.destroy());
    sent.on('error', reject);
    sent.on('response', (response) => {
      read(response).then((body) => resolve({ status: response.statusCode, headers: response.headers, body }), reject);
    });
    sent.end();
  });
}

function askHttp2({ socketPath, ...where }, isTls, path, deadline) {
  const http2 = require('node:http2');
  const { connect } = isTls ? require('node:tls') : require('node:net');
  const { host, port } = where;
  const name = host?.includes(':') ? `[${host.split('%')[0]}]` : host ?? 'localhost';
  const authority = `${isTls ? 'https' : 'http'}://${name}${port === undefined ? '' : `:${port}`}`;
  // A URL can't name unix sockets and zones of IPv6 addresses.
  const createConnection = () => connect({
    ...where, path: socketPath, ALPNProtocols: ['h2'], rejectUnauthorized: false,
  });
  return new Promise((resolve, reject) => {
    const session = http2.connect(authority, { createConnection });
    deadline.onEnd(() => session.destroy());
    session.on('error', reject);
    const stream = session.request({ ':path': path, accept: 'application/json' });
    stream.on('error', reject);
    stream.on('response', (headers) => {
      read(stream).then((body) => resolve({ status: headers[':status'], headers, body }), reject);
    });
  });
}

async function read(stream) {
  const parts = [];
  let size = 0;
  for await (const part of stream) {
    if (size < BODY_LIMIT) parts.push(part);
    size += part.length;
  }
  return Buffer.concat(parts).subarray(0, BODY_LIMIT).toString();
}
