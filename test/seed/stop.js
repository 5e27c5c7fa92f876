// README of cluster2: stop a server.
var Cluster = require('cluster2-rs');
var c = new Cluster();
c.stop();
