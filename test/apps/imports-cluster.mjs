// Forks by the names that it imports from Node, default and named ones; a worker has fewer of them.
import cluster, * as names from 'node:cluster';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { report } = require('../support/report');
const ours = require(`${process.env.CLUSTER2_PACKAGE}/cluster`);

const { fork, isPrimary, Worker } = names;
if (isPrimary) {
  const worker = fork();
  const isSame = cluster === ours && ours.fork === fork && require('cluster') === ours;
  report('imported', isSame, worker instanceof Worker, worker.process.constructor.name);
  cluster.on('exit', (_, code) => report('exit', code));
} else {
  report('worker', cluster.worker.id);
  cluster.worker.disconnect();
}
