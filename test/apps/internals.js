// Tells its parent of the messages and signals that lib/shared/node-internals.js hears: it holds the first SIGTERM, and
// lets the second through to a listener that was there before. A listener that is hidden hears of both.
'use strict';

const { interceptSignals, onClusterMessage } = require('../../lib/shared/node-internals');

let held = 0;
process.on('SIGTERM', (signal, number) => process.send(`heard: ${signal} ${number}`));
// As tsx does it.
const hidden = (signal) => process.send(`hidden: ${signal}`);
const { listeners } = process;
process.on('SIGTERM', hidden);
process.listeners = (name) => listeners.call(process, name).filter((listener) => listener !== hidden);
interceptSignals(['SIGTERM', 'SIGINT'], () => {}, (signal) => {
  held += 1;
  if (held > 1) return false;
  process.send(`held: ${signal}`);
  return true;
});
onClusterMessage(({ act }) => process.send(`second: ${act}`));
onClusterMessage(({ act }) => process.send(`first: ${act}`), true);
// Keeps the process until its parent lets it go.
process.on('message', () => {});
process.send('ready');
