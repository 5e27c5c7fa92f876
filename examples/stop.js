// node examples/stop.js
//
// Ends at once, without grace, the cluster that was started in this directory. In scripts of old: `c.stop()`.
'use strict';

// In your own project: require('cluster2-rs')
const Cluster = require('..');

new Cluster().stop().then(() => console.log('stopped'));
