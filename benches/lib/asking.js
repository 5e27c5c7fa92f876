// Asks by HTTP, once, and says how long the answer took.
'use strict';

const http = require('node:http');

/** Resolves with `{ms, bytes, status}`, or with `ms: Infinity` when there is no answer within `patience`. */
function ask(port, path, { patience = 10_000, agent } = {}) {
  return new Promise((resolve) => {
    const began = performance.now();
    const request = http.get({ host: '127.0.0.1', port, path, agent: agent ?? new http.Agent() }, (response) => {
      let bytes = 0;
      response.on('data', (chunk) => { bytes += chunk.length; });
      response.on('end', () => resolve({ ms: performance.now() - began, bytes, status: response.statusCode }));
    });
    request.setTimeout(patience, () => request.destroy());
    request.on('error', () => resolve({ ms: Infinity, bytes: 0, status: 0 }));
  });
}

/** Asks `count` times, one after the other; resolves with all answers. */
async function askAgain(port, path, count) {
  const agent = new http.Agent({ keepAlive: true });
  const answers = [];
  for (let at = 0; at < count; at += 1) answers.push(await ask(port, path, { agent }));
  agent.destroy();
  return answers;
}

module.exports = { ask, askAgain };
