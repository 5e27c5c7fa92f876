// The same application in one process of its own, with nobody above it.
'use strict';

const { createApp } = require('./app');

const server = createApp();
server.listen(0, '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
process.on('disconnect', () => process.exit());
