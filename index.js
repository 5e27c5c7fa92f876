// The public entry: `require('cluster2-rs')` is the constructor, as it was in cluster2.
'use strict';

require('./lib/shared/check-node');

module.exports = require('./lib/cluster');
module.exports.Cluster = module.exports;
module.exports.Cluster2Error = require('./lib/shared/errors').Cluster2Error;
module.exports.default = module.exports;
