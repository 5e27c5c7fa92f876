/// <reference types="node" />

import { Cluster, ClusterSettings } from 'node:cluster';

/**
 * Node's `cluster`, whose primary is this package's master: for programs that fork their workers themselves. In a worker
 * it is Node's own.
 *
 * @example
 * const cluster = require('cluster2-rs/cluster');
 * if (cluster.isPrimary) for (let i = 0; i < 4; i += 1) cluster.fork();
 * else http.createServer(app).listen(3000);
 */
declare const cluster: cluster.ProgramCluster;

declare namespace cluster {
  interface ProgramCluster extends Cluster {
    setupPrimary(settings?: ProgramSettings): void;
    /** The same function. */
    setupMaster(settings?: ProgramSettings): void;
    /**
     * `SCHED_RR` unless it is set. What a program sets counts to the letter; one that leaves it alone has the kernel
     * choose a worker for each connection.
     */
    schedulingPolicy: number;
  }

  interface ProgramSettings extends ClusterSettings {
    /** Asks for health, metrics and the page, from the first fork on. @default none, or `CLUSTER2_MONITOR=[host:]port` */
    monitor?: MonitorSettings;
  }

  interface MonitorSettings {
    /** @default 3001 */
    port?: number;
    /** @default '127.0.0.1' */
    host?: string;
    /** The path of the page. @default '/' */
    path?: string;
    /** A secret that everything but the health paths asks for. @default none */
    token?: string;
  }
}

export = cluster;
