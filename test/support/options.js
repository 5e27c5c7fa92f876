// For programs under test: the options that the test gave to `start`; without them free ports and two workers.
'use strict';

const given = JSON.parse(process.env.CLUSTER2_TEST_OPTIONS ?? '{}');

module.exports = { port: 0, monPort: 0, noWorkers: 2, host: '127.0.0.1', ...given };
