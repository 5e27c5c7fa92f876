// A cluster script that is a module, with top-level await, and takes the package by each of its names.
import cluster from 'node:cluster';
import { createServer } from 'node:http';

const { default: Cluster, Cluster: Named, Cluster2Error, version, defaultOptions } =
  await import(process.env.CLUSTER2_PACKAGE ?? '../../index.js');
const { default: reporting } = await import('../support/report.js');
const { default: options } = await import('../support/options.js');

const c = new Cluster(options);
reporting.report('names', [Named === Cluster, Cluster2Error.name, typeof version, typeof defaultOptions, cluster.isMaster]);
c.on('listening', (pid) => reporting.report('listening', pid));
c.listen((cb) => cb(createServer()));
