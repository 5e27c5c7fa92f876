// Programs in a network of their own, where a test may give addresses and settings: a Linux network namespace.
//
// A namespace lives as long as a program runs in it, and ends with it. Needs root, and the tools `unshare`, `nsenter`
// and `ip`.
'use strict';

const { execFile, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');

const { PATIENCE_MS } = require('./wait');

const NODE = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
const CLIENT = `
const { scheme = 'http', ...where } = JSON.parse(process.argv[1]);
const options = { ...where, agent: false, rejectUnauthorized: false };
const asked = require('node:' + scheme).get(options, async (response) => {
  let body = '';
  for await (const part of response) body += part;
  console.log(JSON.stringify({ status: response.statusCode, body }));
});
asked.on('error', ({ code }) => console.log(JSON.stringify({ code })));
`;

/** Why no network can be made here; undefined where one can. */
function whyNoNetwork() {
  const { status, stderr, error } = spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up']);
  return status === 0 ? undefined : String(error ?? stderr);
}

/**
 * A Node for `start` that begins in a network of its own, with the loopback interface up and what the commands of the
 * shell in `setup` make of it; whoever makes one calls `remove`.
 */
function makeNetwork(setup) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'c2-net-'));
  const [node, inside] = ['node', 'inside'].map((name) => path.join(directory, name));
  fs.writeFileSync(inside, `#!/bin/sh -e\nip link set lo up\n${setup}\nexec ${NODE} "$@"\n`, { mode: 0o700 });
  fs.writeFileSync(node, `#!/bin/sh\nexec unshare --net ${inside} "$@"\n`, { mode: 0o700 });
  return { node, remove: () => fs.rmSync(directory, { recursive: true }) };
}

/**
 * One request, `{scheme, host, port, path}`, from within the network of `pid`; gives `{status, body}`, or the error's
 * `{code}`.
 */
async function requestWithin(pid, where) {
  const command = [`--net=/proc/${pid}/ns/net`, NODE, '-e', CLIENT, JSON.stringify(where)];
  const { stdout } = await promisify(execFile)('nsenter', command, { timeout: PATIENCE_MS });
  return JSON.parse(stdout);
}

module.exports = { whyNoNetwork, makeNetwork, requestWithin };
