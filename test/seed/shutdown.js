// README of cluster2: gracefully shut a server down.
var Cluster = require('cluster2-rs');
var c = new Cluster();
c.shutdown();
