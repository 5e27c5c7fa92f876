// Puts the API of `cluster2-rs/cluster` in the place of `node:cluster`: `node --require cluster2-rs/register app.js`.
'use strict';

require('./lib/shared/check-node');
require('./lib/node-cluster/register');
