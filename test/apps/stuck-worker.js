// A cluster of one worker whose event loop never turns, started before it listens. The argument `setuid` makes it give
// up its rights first, as a server does that has opened what only root may open.
'use strict';

const cluster = require('node:cluster');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

const NOBODY = 65534;

if (cluster.isWorker) {
  if (process.argv[2] === 'setuid') process.setuid(NOBODY);
  report('stuck');
  for (;;);
}
new Cluster(options).listen((callback) => callback([]));
