// README of cluster2: an HTTP server.
/* eslint-disable -- as it is printed there */
var Cluster = require('cluster2-rs'),
    http = require('http');
var server = http.createServer(function (req, res) {
    res.writeHead(200);
    res.end('hello');
});
var c = new Cluster({
    port: 3000
});
c.listen(function(cb) {
    cb(server);
});
