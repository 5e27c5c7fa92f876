// node examples/listening-server.js
//
// A program that listens by itself, as the servers built by Nuxt, SvelteKit and React Router do: it does so in each
// worker, on the cluster's port, and nothing is handed over. It is counted, drained and checked all the same.
'use strict';

const nodeCluster = require('node:cluster');
const { once } = require('node:events');
const http = require('node:http');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const port = Number(process.env.PORT ?? 3000);
const c = new Cluster({ port, monPort: process.env.MON_PORT ?? 3001 });
// The event `listening` of the cluster is for what is handed over.
nodeCluster.on('listening', ({ process: { pid } }, address) => {
  console.log(`worker ${pid} listening on port ${address.port}`);
});
c.listen(async (cb) => {
  // In your own project perhaps: await import('./.output/server/index.mjs')
  if (nodeCluster.isWorker) await run();
  // Only now, so that a worker counts as ready when it is.
  cb([]);
});

async function run() {
  const server = http.createServer((request, response) => response.end('hello'));
  await once(server.listen(port), 'listening');
}
