// An ecosystem file of PM2, as options of `new Cluster`. What can't be done is told key by key, before anything starts.
//
// lib/cli/start/config.js calls it. Pure.
'use strict';

const path = require('node:path');

const { Failure, MISUSED } = require('../failure');
const { textOf, workersOf } = require('./options');

const UNITS = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
// PM2 keeps every worker alive, however it ended.
const ALWAYS = { restart: 'always' };
// What PM2 calls the number of a worker.
const INSTANCE = 'NODE_APP_INSTANCE';
const NODE = /(?:^|\/)node(?:js)?$/;

// None of these tables has a prototype, since a file may have any key.
/** By key: what it means in options, made from its value and the whole app. Undefined is said to be without effect. */
const MEANINGS = {
  __proto__: null,
  name: (name) => ({ name }),
  script: (exec) => ({ exec }),
  args: (args) => ({ args: words(args) }),
  instances: (count) => instancesOf(count),
  cwd: (cwd) => ({ cwd }),
  env: () => ({}),
  node_args: (args) => ({ nodeArgs: words(args) }),
  max_memory_restart: (size) => ({ memoryThreshold: bytes(size) }),
  kill_timeout: (ms) => ({ shutdownTimeout: ms, recycleTimeout: ms }),
  listen_timeout: (ms) => ({ startTimeout: ms }),
  wait_ready: (waitReady) => ({ waitReady }),
  increment_var: () => ({}),
  instance_var: () => ({}),
  exp_backoff_restart_delay: (ms) => ({ restartDelay: ms }),
  restart_delay: (ms) => ({ restartDelay: ms }),
  uid: (uid) => (isNumber(uid) ? { uid } : undefined),
  gid: (gid) => (isNumber(gid) ? { gid } : undefined),
  source_map_support: (is) => (is ? { nodeArgs: ['--enable-source-maps'] } : {}),
};
const OTHER_NAMES = {
  __proto__: null,
  nodeArgs: 'node_args', interpreter_args: 'node_args', interpreterArgs: 'node_args', exec: 'script',
  maxMemoryRestart: 'max_memory_restart', killTimeout: 'kill_timeout', listenTimeout: 'listen_timeout',
  waitReady: 'wait_ready', incrementVar: 'increment_var', instanceVar: 'instance_var',
  expBackoffRestartDelay: 'exp_backoff_restart_delay',
};
/** What is so anyway, with the values for which that holds. */
const AS_IT_IS = {
  __proto__: null,
  autorestart: (value) => value === true,
  exec_mode: (value, app) => /^cluster/.test(textOf(value)) || numberOf(app.instances ?? 1) === 1,
  interpreter: (value) => value === undefined || value === '' || NODE.test(textOf(value)),
  exec_interpreter: (value) => value === undefined || value === '' || NODE.test(textOf(value)),
  watch: (value) => value === false,
  merge_logs: () => true,
  combine_logs: () => true,
  namespace: () => true,
  vizion: () => true,
  pmx: () => true,
  automation: () => true,
  treekill: (value) => value !== false,
  instance_id: () => true,
  time: (value) => !value,
  force: () => true,
};
/** What takes its place. */
const INSTEAD = {
  __proto__: null,
  watch: 'a file watcher may call `cluster2 reload`',
  ignore_watch: 'there is no watcher',
  watch_options: 'there is no watcher',
  cron_restart: 'see the option `uptimeThreshold`, or let cron call `cluster2 reload`',
  cron: 'see the option `uptimeThreshold`, or let cron call `cluster2 reload`',
  autorestart: "a worker that fails is replaced; only exit status 0 is final (`restart: 'on-failure'`)",
  max_restarts: 'it never gives up, with pauses of up to 30 s',
  min_uptime: 'a worker that serves for 5 s ends a row of deaths',
  stop_exit_codes: "only exit status 0 can be final (`restart: 'on-failure'`)",
  out_file: 'see --log',
  output: 'see --log',
  error_file: 'see --log',
  error: 'see --log',
  log_file: 'see --log',
  log: 'see --log',
  log_date_format: 'the log has what the application writes',
  log_type: 'the log has what the application writes',
  time: 'the log has what the application writes',
  pid_file: 'see --pids',
  exec_mode: "the instances share their ports, as in PM2's cluster mode",
  interpreter: 'only Node is run; for TypeScript see --node-args',
  exec_interpreter: 'only Node is run; for TypeScript see --node-args',
  uid: 'a number is needed',
  gid: 'a number is needed',
  user: 'see `uid`, a number',
  post_update: 'there is no deployment here',
  shutdown_with_message: 'workers drain by themselves',
};

/** The app of an ecosystem file that is meant: `{options, notes, source}`. Throws a Failure. */
function fromEcosystem(given, { environment, file, only }) {
  const source = path.relative('', file) || file;
  const apps = [given?.apps ?? given].flat().filter((app) => typeof app === 'object' && app !== null);
  const app = chosen(apps, only, source);
  const options = { ...app.autorestart === false ? {} : ALWAYS };
  const notes = [];
  const lacks = (key) => {
    const instead = INSTEAD[key] === undefined ? '' : `: ${INSTEAD[key]}`;
    notes.push(`${source}: \`${key}\` has no effect here${instead}`);
  };
  for (const [given, value] of Object.entries(app)) {
    const key = OTHER_NAMES[given] ?? given;
    if (value === undefined || value === null || key.startsWith('env_')) continue;
    if (AS_IT_IS[key]?.(value, app)) continue;
    const meant = MEANINGS[key]?.(value, app);
    if (meant === undefined) lacks(key);
    else for (const [name, option] of Object.entries(meant)) options[name] = joined(options[name], option);
  }
  for (const key of Object.keys(given?.apps ? given : {})) if (key !== 'apps') lacks(key);
  if (app.instances === undefined) options.noWorkers = 1;
  return { options: { ...options, ...variables(app, environment, source) }, notes, source };
}

module.exports = { fromEcosystem };

function chosen(apps, only, source) {
  if (apps.length === 0) throw new Failure(MISUSED, `${source} has no apps`);
  const names = apps.map((app) => textOf(app.name ?? path.parse(textOf(app.script)).name));
  if (only === undefined) {
    if (apps.length === 1) return apps[0];
    throw new Failure(MISUSED, `${source} has several apps (${names.join(', ')}): say which one with --only NAME, ` +
      'and start one cluster for each');
  }
  const at = names.indexOf(only);
  if (at < 0) throw new Failure(MISUSED, `${source} has no app '${only}'; it has ${names.join(', ')}`);
  return apps[at];
}

// Its own variables, those of the environment that is asked for over them, and those that count up.
function variables(app, environment, source) {
  const key = `env_${environment}`;
  if (environment !== undefined && app[key] === undefined) {
    throw new Failure(MISUSED, `${source} has no \`${key}\`, which --env ${environment} asks for`);
  }
  const env = textsOf({ ...app.env, ...environment === undefined ? {} : app[key] });
  const instanceEnv = { [textOf(app.instance_var ?? app.instanceVar ?? INSTANCE)]: 0 };
  const counting = app.increment_var ?? app.incrementVar;
  if (counting !== undefined) {
    const name = textOf(counting);
    instanceEnv[name] = numberOf(env[name] ?? process.env[name] ?? 0);
  }
  return { env, instanceEnv };
}

// As in PM2, an object becomes JSON.
function textsOf(env) {
  const text = (value) => (typeof value === 'object' && value !== null ? JSON.stringify(value) : value);
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, text(value)]));
}

function joined(before, after) {
  return Array.isArray(before) && Array.isArray(after) ? [...before, ...after] : after;
}

// 0 and 'max' are all processors, -1 all but one.
function instancesOf(given) {
  const count = numberOf(given);
  if (given === 'max' || count === 0) return workersOf('max');
  if (count < 0) return { noWorkers: Math.max(1, require('node:os').availableParallelism() + count) };
  return { noWorkers: given };
}

function words(given) {
  if (Array.isArray(given)) return given.map(textOf);
  // As a shell would, but for what expands.
  const found = [...textOf(given).matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)];
  return found.map(([, double, single, bare]) => double ?? single ?? bare);
}

function numberOf(given) {
  return typeof given === 'object' ? NaN : Number(given);
}

// '300M', '1G', '1024K' or a number of bytes.
function bytes(given) {
  const [, number, unit] = /^\s*([\d.]+)\s*([KMG])B?\s*$/i.exec(textOf(given)) ?? [];
  return number === undefined ? given : Math.round(Number(number) * UNITS[unit.toLowerCase()]);
}

function isNumber(value) {
  return textOf(value).trim() !== '' && Number.isInteger(numberOf(value));
}
