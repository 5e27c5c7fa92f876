// Programs that are process 1, as in a container: in a namespace of processes that `unshare` makes.
//
// Whoever is not root needs namespaces of users, which some systems refuse.
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { makeDirectory } = require('./program');

const NODE = process.env.CLUSTER2_TEST_NODE ?? process.execPath;
const AS_ROOT = process.getuid() === 0 ? [] : ['--user', '--map-root-user'];
const UNSHARE = ['unshare', ...AS_ROOT, '--pid', '--fork', '--mount-proc', '--kill-child'];

/** Why no container can be made here; undefined where one can. */
function whyNoContainer() {
  const [command, ...args] = UNSHARE;
  const { status, stderr, error } = spawnSync(command, [...args, 'true']);
  return status === 0 ? undefined : String(error ?? stderr);
}

/** A Node for `start` that is process 1; whoever makes one calls `remove`. */
function makeContainer() {
  const directory = makeDirectory();
  const node = path.join(directory, 'node');
  fs.writeFileSync(node, `#!/bin/sh\nexec ${UNSHARE.join(' ')} '${NODE}' "$@"\n`, { mode: 0o755 });
  return { node, remove: () => fs.rmSync(directory, { recursive: true }) };
}

module.exports = { makeContainer, whyNoContainer };
