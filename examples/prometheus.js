// npm install --no-save prom-client && node examples/prometheus.js
//
// Metrics of the application, counted in every worker by prom-client, beside those of the cluster itself: see both at
// http://localhost:3001/metrics. The two lines of the bridge are marked.
'use strict';

const http = require('node:http');

const prometheus = require('prom-client');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

const greetings = new prometheus.Counter({ name: 'greetings_total', help: 'How often hello was said.' });
const server = http.createServer((req, res) => {
  greetings.inc();
  res.end('hello\n');
});

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));

// The bridge: in the master it asks all workers, in a worker it answers.
const aggregator = new prometheus.AggregatorRegistry();
c.metrics(() => aggregator.clusterMetrics());

c.listen((cb) => cb(server));
