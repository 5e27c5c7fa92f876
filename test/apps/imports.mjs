// A cluster script that is a module, with top-level await, and takes the package by each of its names.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const file = createRequire(import.meta.url).resolve(process.env.CLUSTER2_PACKAGE ?? '../..');
const { default: Cluster, Cluster: Named, Cluster2Error } = await import(pathToFileURL(file));
const { default: reporting } = await import('../support/report.js');
const { default: options } = await import('../support/options.js');

const c = new Cluster(options);
reporting.report('names', [Named === Cluster, Cluster2Error.name, typeof Cluster.version, cluster.isMaster]);
c.on('listening', (pid) => reporting.report('listening', pid));
c.listen((cb) => cb(createServer()));
