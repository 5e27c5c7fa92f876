// README of cluster2: gracefully shut a server down.
/* eslint-disable -- as it is printed there */
var Cluster = require('cluster2-rs');
var c = new Cluster();
c.shutdown();
