// A master that ends itself, by the method that the argument names, while its createApp still waits for something.
'use strict';

const Cluster = require('../support/cluster');
const options = require('../support/options');

const c = new Cluster(options);
c.listen(() => new Promise(() => setTimeout(() => c[process.argv[2]](), 50)));
