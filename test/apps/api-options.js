// Makes a Cluster from each of the options in $CASES and reports what became of it, and every warning.
'use strict';

const Cluster = require('../support/cluster');
const { report } = require('../support/report');

process.on('warning', (warning) => report('warning', warning.code, warning.message));

for (const options of JSON.parse(process.env.CASES)) {
  try {
    report('made', new Cluster(options).options);
  } catch (error) {
    report('refused', { name: error.name, isError: error instanceof Error, code: error.code, message: error.message });
  }
}
