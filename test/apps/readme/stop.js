// README of cluster2: stop a server.
/* eslint-disable -- as it is printed there */
var Cluster = require('cluster2-rs');
var c = new Cluster();
c.stop();
