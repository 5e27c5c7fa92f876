// The command line's own documentation: which commands and options there are. lib/cli/arguments.js reads by the same
// tables, and docs/cli.md is compared with them by a test.
'use strict';

/** How the command is called in a project that has the package, where no PATH leads to it. */
const COMMAND = 'npx cluster2-rs';

/** Options of every command that asks a running cluster. */
const COMMON = {
  'pids': { value: 'DIR', text: "the cluster's directory of pid files, its option `pids` (default: ./pids)" },
  'pid': { value: 'PID', text: 'only the master with this pid, where several share the directory' },
  'timeout': { value: 'SECONDS', text: 'how long to wait for an answer (default: 10; a reload and --wait: no limit)' },
};

/** By command: `operands` as they are shown, how many (`count`), a sentence, options of its own, a last line. */
const COMMANDS = {
  start: {
    operands: '[options] <script> [arguments]',
    text: 'runs any script in workers, in the foreground; without a script, what a configuration says',
    hint: 'Every option of `new Cluster` can be given too, by its name: --memory-threshold 512mb.',
    rest: true,
    options: {
      workers: { value: 'N', text: "how many; 'max' (default): one for each processor that it may use" },
      'node-args': { value: 'ARGS', text: 'flags of Node itself, such as "--import tsx"; may be repeated' },
      cwd: { value: 'DIR', text: "the workers' directory, from which the script is taken too" },
      env: { value: 'NAME=VALUE', text: 'a variable for the workers; may be repeated. NAME: a part of a PM2 file' },
      pids: { value: 'DIR', text: 'directory of pid files, by which the other commands find it (default: ./pids)' },
      monitor: { value: '[HOST:]PORT', text: "where the monitor is, or 'off' (default: 127.0.0.1:3001, or another)" },
      ecv: { value: 'PATH', text: "the health answer for balancers on the application's own port (default: off)" },
      name: { value: 'NAME', text: 'what the cluster is called' },
      log: { value: 'FILE', text: 'append stdout and stderr of the workers to it; `cluster2 logs` reads it' },
      'wait-ready': { text: "a worker is ready when it says process.send('ready'), not when it listens" },
      config: { value: 'FILE', text: 'the configuration (default: cluster2.config.js and others, see docs/cli.md)' },
      only: { value: 'NAME', text: 'of a PM2 file with several apps, this one' },
      quiet: { text: 'say nothing but what is wrong' },
      json: { text: 'say it as JSON, an object a line' },
    },
  },
  unit: {
    operands: '[options] <script> [arguments]',
    text: 'prints a unit for systemd that starts at every boot what `start` with these words would start',
    hint: 'The options are those of `start`: see `start --help`.',
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
      cancel: { text: 'call off the reload that is under way; the old workers serve on' },
      restart: { text: 'call off the reload that is under way, and begin anew; otherwise this one joins it' },
      wait: { text: 'return when that is done, with each worker that was replaced, or with the reason why it failed' },
      strategy: { value: 'NAME', text: "'rolling' (default) or 'all-first'" },
      env: { value: 'NAME=VALUE', text: 'a variable for all later workers; may be repeated', many: true },
    },
  },
  scale: { operands: '<N>', count: 1, text: 'sets the number of workers; +N adds and -N takes away' },
  recycle: { operands: '<pid>', count: 1, text: 'replaces one worker, its successor first' },
  logs: {
    text: 'prints the end of the file to which the workers write: `start --log`, or where stdout goes',
    options: {
      lines: { value: 'N', text: 'so many lines (default: 20)' },
      follow: { text: 'go on with what is added, until Ctrl-C; also after a rotation', short: '-f' },
    },
  },
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
    'Options of all commands but start and unit:', ...rows(COMMON), '',
    'Exit status: 0 done, 1 failed, 2 not understood, 3 nothing runs, 4 not allowed.',
    '`cluster2 <command> --help` tells more, `cluster2 --version` the version.',
  ].join('\n');
}

function details(name) {
  const { hint, operands, text, rest, options = {} } = COMMANDS[name];
  const head = ['Usage: cluster2', name, ...operands ? [operands] : [], ...rest ? [] : ['[options]']].join(' ');
  const all = rest ? options : { ...options, ...COMMON };
  return [head, `  ${text}`, rows(all).join('\n'), hint].filter(Boolean).join('\n\n');
}

function rows(options) {
  return Object.entries(options).map(([name, { short, value = '', text }]) => {
    return row(`${short ? `${short}, ` : ''}--${name} ${value}`, text);
  });
}

function row(name, text) {
  return `  ${name.trim().padEnd(28)} ${text}`;
}

module.exports = { COMMAND, COMMANDS, COMMON, usage };
