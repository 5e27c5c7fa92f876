// The public entry: `require('cluster2-rs')` is the constructor, as it was in cluster2.
'use strict';

require('./lib/shared/check-node');

const { Cluster, Cluster2Error } = require('./lib/shared/whose-worker').classes();

module.exports = Cluster;
module.exports.Cluster = Cluster;
module.exports.Cluster2Error = Cluster2Error;
module.exports.default = Cluster;
