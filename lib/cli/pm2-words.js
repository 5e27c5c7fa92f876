// What people who come from PM2 type, and what it is called here. Pure.
//
// lib/cli/arguments.js and lib/cli/start/options.js ask when they don't understand a word.
'use strict';

const { COMMAND } = require('./usage');

const COMMANDS = {
  list: 'status', ls: 'status', ps: 'status', describe: 'status --json', show: 'status --json', info: 'status --json',
  jlist: 'status --json', prettylist: 'status --json', monit: 'top', restart: 'reload', gracefulReload: 'reload',
  startOrReload: 'reload', startOrRestart: 'reload', delete: 'shutdown', del: 'shutdown', kill: 'stop',
  startup: 'unit', save: 'unit', resurrect: 'unit',
};
const FLAGS = {
  '-i': '--workers', '--instances': '--workers', '-n': '--name', '--interpreter-args': '--node-args',
  '--max-memory-restart': '--memory-threshold', '--kill-timeout': '--shutdown-timeout',
  '--listen-timeout': '--start-timeout', '--exp-backoff-restart-delay': '--restart-delay',
  '-o': '--log', '--output': '--log', '-e': '--log', '--error': '--log', '-l': '--log',
};

/** Ends a sentence about a command or a flag of `start` that is not known: how it is called here, if that is known. */
function otherwise(word) {
  if (Object.hasOwn(COMMANDS, word)) return `: what PM2 calls so is \`${COMMAND} ${COMMANDS[word]}\` here`;
  return Object.hasOwn(FLAGS, word) ? `: what PM2 calls so is ${FLAGS[word]} here` : '';
}

module.exports = { otherwise };
