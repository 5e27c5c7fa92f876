// Sends its parent the arguments with which Node calls `process.emit` for SIGTERM, and ends.
'use strict';

const { emit } = process;
process.emit = (event, ...args) => {
  if (event !== 'SIGTERM') return emit.call(process, event, ...args);
  return process.send([event, ...args], () => process.exit());
};
process.on('SIGTERM', () => {});
// Keeps the process.
process.on('message', () => {});
process.send('ready');
