// README of cluster2: a server that knows of its shutdown by 'close'. What is printed there ends before `listen`.
/* eslint-disable -- as it is printed there */
var Cluster = require('cluster2-rs'),
    http = require('http');
var serving = true;
var server = http.createServer(function (req, res) {
    if(!serving) {
        // Be nice and send a connection: close as otherwise the client may pump more requests
        // on the same connection
        res.writeHead(200, {
            'connection': 'close'
        });
    }
    res.writeHead(200);
    res.end('hello');
});
server.on('close', function() {
    serving = false;
})
var c = new Cluster({
    port: 3000,
    cluster: true
});
c.listen(function(cb) {
    cb(server);
});
