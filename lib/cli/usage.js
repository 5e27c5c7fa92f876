// The command line's own documentation: which commands and options there are. lib/cli/arguments.js reads by the same
// tables, and docs/cli.md is compared with them by a test.
'use strict';

/** Options of every command that asks a running cluster. */
const COMMON = {
  'pids': { value: 'DIR', text: "the cluster's directory of pid files, its option `pids` (default: ./pids)" },
  'pid': { value: 'PID', text: 'only the master with this pid, where several share the directory' },
  'timeout': { value: 'SECONDS', text: 'how long to wait for an answer (default: 10; a reload and --wait: no limit)' },
};

/** By command: `operands` as they are shown, `min` and `max` of them, a sentence, and options of its own. */
const COMMANDS = {
  start: {
    operands: '<app.js> [arguments]',
    text: 'runs a script as `node app.js` would, in the foreground: the process is the master',
    rest: true,
  },
  status: {
    text: 'tells what each cluster of the directory does; fails if one has no worker that serves',
    options: { json: { text: "a list with each master's /status.json" } },
  },
  stop: { text: 'ends the cluster at once, and waits until it has gone' },
  shutdown: {
    text: 'ends the cluster gracefully; returns when no new connection gets in',
    options: { wait: { text: 'return when the last request is answered and the master has gone' } },
  },
  reload: {
    text: 'replaces every worker by one that runs what is on disk now',
    options: {
      wait: { text: 'return when that is done, with each worker that was replaced, or with the reason why it failed' },
      strategy: { value: 'NAME', text: "'rolling' (default) or 'all-first'" },
      env: { value: 'NAME=VALUE', text: 'a variable for all later workers; may be repeated', many: true },
    },
  },
  scale: { operands: '<N>', count: 1, text: 'sets the number of workers; +N adds and -N takes away' },
  enable: { text: 'puts the cluster back into rotation' },
  disable: {
    text: 'takes the cluster out of rotation: its health checks say DISABLED, requests are answered as before',
    options: { reason: { value: 'TEXT', text: 'why; the monitor and `status` show it' } },
  },
  top: {
    text: 'shows a table that is kept up to date, until q or Ctrl-C; plain text where stdout is no terminal',
    options: {
      interval: { value: 'SECONDS', text: 'time between two looks (default: 1)' },
      count: { value: 'N', text: 'end after so many looks' },
    },
  },
};

/** What `--help` prints: all commands, or one with its options. */
function usage(command) {
  return command === undefined ? overview() : details(command);
}

function overview() {
  const lines = Object.entries(COMMANDS).map(([name, { operands = '', text }]) => row(`${name} ${operands}`, text));
  return [
    'Usage: cluster2 <command> [options]', '',
    ...lines, '',
    'Options of all commands but start:', ...rows(COMMON), '',
    'Exit status: 0 done, 1 failed, 2 not understood, 3 nothing runs, 4 not allowed.',
    '`cluster2 <command> --help` tells more, `cluster2 --version` the version.',
  ].join('\n');
}

function details(name) {
  const { operands, text, rest, options = {} } = COMMANDS[name];
  const head = ['Usage: cluster2', name, ...operands ? [operands] : [], ...rest ? [] : ['[options]']].join(' ');
  const all = rest ? {} : { ...options, ...COMMON };
  return [head, '', `  ${text}`, ...rest ? [] : ['', ...rows(all)]].join('\n');
}

function rows(options) {
  return Object.entries(options).map(([name, { value = '', text }]) => row(`--${name} ${value}`, text));
}

function row(name, text) {
  return `  ${name.trim().padEnd(28)} ${text}`;
}

module.exports = { COMMANDS, COMMON, usage };
