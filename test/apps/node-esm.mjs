// A script written as an ES module, with awaits at its top level before and after `listen`.
import cluster from 'node:cluster';
import http from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as after } from 'node:timers/promises';

import Cluster, { Cluster as Named, Cluster2Error } from '../../index.js';

const { report, reportEvents } = createRequire(import.meta.url)('../support/report.js');
const options = createRequire(import.meta.url)('../support/options.js');

await after(20);
const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died');
c.listen(async (cb) => {
  await after(20);
  cb(http.createServer((request, response) => response.end(String(process.pid))));
}, () => {
  if (cluster.isPrimary) report('ready', c.addresses().app[0].port, Named === Cluster, typeof Cluster2Error);
});
await after(20);
process.on('message', (message) => report('message', message));
