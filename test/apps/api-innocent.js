// A bystander that tells of the signals that it should never get.
'use strict';

const { report } = require('../support/report');

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => report('signal', signal));
setInterval(() => {}, 60000);
report('here');
