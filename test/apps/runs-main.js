// Runs itself a second time, as the main module, and ends there; no listener for 'exit' is called.
'use strict';

const { exitUnheard, runMain } = require('../../lib/shared/node-internals');

process.on('exit', () => console.log('heard'));
if (process.env.AGAIN) {
  console.log(`main: ${require.main.filename} ${process.argv[2]}`);
  exitUnheard(7);
}
process.env.AGAIN = '1';
delete require.cache[__filename];
runMain();
