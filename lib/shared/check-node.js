// Refuses to run where this package can't: in an older Node, in Bun and in Deno.
//
// index.js, cluster.js, register.js and bin/cluster2.js require it before anything else, because older versions of Node
// cannot parse what follows. These five files are ECMAScript 2015 for that reason. Before 18.8
// `node:diagnostics_channel` lost subscriptions, and requests are counted through them. Owns nothing.
'use strict';

const OLDEST_NODE = [18, 8];

const { bun, deno, node } = process.versions;
const [major, minor] = node.split('.').map(Number);
const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);

if (isOld || bun || deno) {
  const found = bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : node;
  const message = `cluster2-rs needs Node ${OLDEST_NODE.join('.')} or later, and this is ${found}`;
  throw Object.assign(new Error(message), { code: 'ERR_CLUSTER2_UNSUPPORTED_NODE' });
}
