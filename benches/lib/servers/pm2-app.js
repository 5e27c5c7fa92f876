// What PM2 runs in each of its workers: the application, on the one port that they all share.
'use strict';

const { createApp } = require('./app');

const server = createApp();
server.listen(Number(process.env.BENCH_PORT), '127.0.0.1');
// PM2 says SIGINT and kills 1.6 s later.
process.on('SIGINT', () => server.close(() => process.exit(0)));
