// Node's `cluster` API on the Rust master, for programs that fork themselves.
'use strict';

module.exports = require('./lib/node-cluster').clusterApi();
