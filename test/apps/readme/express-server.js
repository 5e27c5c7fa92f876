// README of cluster2: an express server, with `express()` in place of `express.createServer()`.
/* eslint-disable -- as it is printed there */
var Cluster = require('cluster2-rs'),
    express = require('express');
var app = express();
app.get('/', function(req, res) {
    res.send('hello');
});

var c = new Cluster({
    port: 3000,
});
c.listen(function(cb) {
    cb(app);
});
