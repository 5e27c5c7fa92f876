// A cluster whose master uses up its descriptors once all workers listen, so that each connection that a worker gives
// back for another finds hardly any room.
'use strict';

const fs = require('node:fs');
const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const c = new Cluster(options);
reportEvents(c, 'forked', 'died', 'warning');
let waiting = options.noWorkers;
c.on('listening', () => {
  waiting -= 1;
  if (waiting === 0) report('full', useUp(), c.addresses().app[0].port);
});
c.listen((callback) => callback(http.createServer((request, response) => response.end(String(process.pid)))));

function useUp() {
  for (;;) {
    try {
      fs.openSync('/dev/zero');
    } catch (error) {
      return error.code;
    }
  }
}
