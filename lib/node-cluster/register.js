// `node --require cluster2-rs/register`: from now on `node:cluster` of this process is the API of this package.
//
// The object that Node exports stays the same and gets the new functions, so whoever has it has them, importers of
// ESM included.
'use strict';

const nodeCluster = require('node:cluster');
const { syncBuiltinESMExports } = require('node:module');

const { clusterApi } = require('./index');

clusterApi(nodeCluster);
syncBuiltinESMExports();
