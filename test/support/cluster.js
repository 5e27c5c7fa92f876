// For programs under test: the package itself, or the copy that $CLUSTER2_PACKAGE names.
'use strict';

module.exports = require(process.env.CLUSTER2_PACKAGE ?? '../..');
