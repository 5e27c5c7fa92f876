// Short connections: each request on a connection of its own, as behind a proxy that keeps none open.
'use strict';

const { throughput } = require('../lib/throughput');

module.exports = throughput({
  name: 'short',
  title: 'Short connections',
  mode: 'short',
  what: 'clients, a new connection for each request',
  // See docs/BENCHMARKS.md.
  causes: {
    perSecond: 'connections and requests are counted; one process needs no other to share the cores with',
    p99: 'the kernel gives a connection to a worker by chance, so one queue can be longer than another',
    workersCpu: 'connections and requests are counted; two workers fill less of the caches than one process',
  },
});
