// A cluster whose master uses up its descriptors once all workers listen, so that each connection that a worker gives
// back for another finds hardly any room.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { useUpDescriptors } = require('../support/descriptors');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'forked', 'died', 'warning');
let waiting = options.noWorkers;
c.on('listening', () => {
  waiting -= 1;
  if (waiting === 0) report('full', useUpDescriptors(), c.addresses().app[0].port);
});
c.listen((callback) => callback(http.createServer((request, response) => response.end(String(process.pid)))));
