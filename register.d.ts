/** From now on `node:cluster` of this process is `cluster2-rs/cluster`; to be loaded before the program. */
export {};
