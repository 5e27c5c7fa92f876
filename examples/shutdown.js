// node examples/shutdown.js
//
// Ends the cluster that was started in this directory: new connections are refused, what is under way is finished.
'use strict';

// In your own project: require('cluster2-rs')
const Cluster = require('..');

new Cluster().shutdown().then(() => console.log('no new connection gets in any more'));
