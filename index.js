// The public entry: `require('cluster2-rs')` is the constructor, as it was in cluster2.
'use strict';

const Cluster = require('./lib/cluster');
const { Cluster2Error } = require('./lib/shared/errors');

module.exports = Cluster;
module.exports.Cluster = Cluster;
module.exports.Cluster2Error = Cluster2Error;
module.exports.default = Cluster;
