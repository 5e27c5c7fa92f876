// Calls `listen` as the first argument says: with no function, or a second time.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report } = require('../support/report');

function tryTo(what, deed) {
  try {
    deed();
    report(what, 'done');
  } catch (error) {
    report(what, error.code, error.message);
  }
}

const createApp = (callback) => callback(http.createServer());
const c = new Cluster({ ...options, noWorkers: 1 });
c.on('listening', () => c.shutdown());
tryTo('nothing', () => c.listen());
tryTo('a server', () => c.listen(http.createServer()));
tryTo('first', () => c.listen(createApp));
tryTo('again', () => c.listen(createApp));
tryTo('another', () => new Cluster(options).listen(createApp));
