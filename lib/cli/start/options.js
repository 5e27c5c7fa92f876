// What `cluster2 start` was asked to do: its own flags, the options of `new Cluster` by their names, and those of a
// configuration, over which the flags win.
//
// lib/cli/start/start.js calls it. Flags end at the script: what comes after it is the script's. Owns nothing.
'use strict';

const { misused } = require('../arguments');
const { otherwise } = require('../pm2-words');
const { COMMANDS } = require('../usage');

const BOOLEANS = ['captureStack', 'cluster', 'flightRecorder', 'metrics', 'waitReady'];
// They would end a cluster instead of starting one.
const NOT_HERE = ['exec', 'shutdown', 'stop'];
const OFF = ['off', 'false', 'no'];
// What hardly any script has: behind it they may have been meant for `start`. So may PM2's `-i 4`.
const HARDLY_ITS_OWN = ['--ecv', '--monitor', '--node-args', '--wait-ready', '--workers'];
const COUNT = /^(?:\d+|max)$/;
const MONITOR = /^(?:(.+):)?(\d+)$/;

/**
 * Reads the command line: `{options, script, isJson, isQuiet, config, only, environment}`. `options` are those of
 * `new Cluster`; `environment` names a part of a PM2 file. Throws a Failure that names what is wrong.
 */
function readCommand(words) {
  const read = { options: {}, script: undefined, isJson: false, isQuiet: false };
  const { flags, script, args } = split(words);
  for (const [name, value] of flags) take(read, name, value);
  if (script !== undefined) {
    read.script = script;
    read.options.args = args;
  }
  return read;
}

/** The options of both, those of the command line first: `{options, notes, source}`. */
function merged({ options: given, script }, { options: configured = {}, notes = [], source } = {}) {
  const options = { ...configured, ...given };
  for (const name of ['ecv', 'monitor', 'env', 'instanceEnv']) {
    if (isObject(configured[name]) && isObject(given[name])) options[name] = { ...configured[name], ...given[name] };
  }
  if (script !== undefined) {
    options.exec = script;
    return { options, notes: [...notes, ...misplaced(script, given.args)], source };
  }
  if (options.exec === undefined) {
    const where = source ? `${source} has no \`exec\`` : 'no configuration was found';
    throw misused(`start needs a script (${where})`, 'start');
  }
  return { options, notes, source };
}

/** What follows a configuration on the command line: flags, and then what its script is to be given. */
function readRest(read, words) {
  const { args: _, ...before } = read.options;
  const { options, script, ...more } = readCommand(words);
  const { args, ...flags } = options;
  const env = before.env || flags.env ? { env: { ...before.env, ...flags.env } } : {};
  Object.assign(read, Object.fromEntries(Object.entries(more).filter(([, value]) => value)));
  read.options = { ...before, ...flags, ...env, ...script === undefined ? {} : { args: [script, ...args] } };
}

/** By the names of the flags as well as by those of `new Cluster`: what a configuration says. */
function fromConfig(given) {
  const { script, workers, monitor, ecv, ...rest } = given;
  const options = { ...rest };
  if (script !== undefined) options.exec ??= script;
  if (workers !== undefined) Object.assign(options, workersOf(workers));
  if (monitor !== undefined) Object.assign(options, isObject(monitor) ? { monitor } : monitorOf(textOf(monitor)));
  if (ecv !== undefined) options.ecv = typeof ecv === 'string' ? ecvOf(ecv) : ecv;
  return options;
}

module.exports = { fromConfig, isObject, merged, readCommand, readRest, textOf, workersOf };

function misplaced(script, args) {
  const names = args.map((word) => word.split('=', 1)[0]);
  const isCount = (at) => names[at] === '-i' && COUNT.test(args[at + 1]);
  const flags = names.filter((name, at) => HARDLY_ITS_OWN.includes(name) || isCount(at));
  return [...new Set(flags)].map((flag) => {
    return `${flag} stands behind ${script}, which gets it: what is meant for \`start\` comes before the script`;
  });
}

// Flags as pairs, then the script and what follows it.
function split(words) {
  const flags = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at];
    if (word === '--') return { flags, script: words[at + 1], args: words.slice(at + 2) };
    if (!word.startsWith('-')) return { flags, script: word, args: words.slice(at + 1) };
    const cut = word.indexOf('=');
    const flag = cut < 0 ? word : word.slice(0, cut);
    const name = nameOf(flag, word);
    if (takesNoValue(name)) {
      const said = cut < 0 ? 'true' : word.slice(cut + 1);
      flags.push([name.replace(/^no-/, ''), String(name.startsWith('no-') ? said === 'false' : said !== 'false')]);
      continue;
    }
    if (cut < 0) at += 1;
    const value = cut < 0 ? words[at] : word.slice(cut + 1);
    if (value === undefined) throw misused(`${flag} needs a value`, 'start');
    flags.push([name, value]);
  }
  return { flags, args: [] };
}

// Of `--node-args`, `--nodeArgs`, `--ecv.path`, `--no-metrics`: the name by which `take` knows it.
function nameOf(flag, word) {
  const unknown = () => misused(`start has no option '${word}'${otherwise(flag)}`, 'start');
  if (!flag.startsWith('--') || flag.length < 4) throw unknown();
  const name = flag.slice(2);
  if (Object.hasOwn(COMMANDS.start.options, name)) return name;
  const [, no = '', plain] = /^(no-)?(.*)$/.exec(name);
  const camel = plain.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
  const kebab = camel.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  if (no === '' && Object.hasOwn(COMMANDS.start.options, kebab)) return kebab;
  const known = require('../../shared/native').load().defaultOptions();
  const [option] = camel.split('.');
  if (!Object.hasOwn(known, option) || NOT_HERE.includes(option)) throw unknown();
  if (no !== '' && !BOOLEANS.includes(option)) throw unknown();
  return no + camel;
}

function takesNoValue(name) {
  const own = Object.hasOwn(COMMANDS.start.options, name) ? COMMANDS.start.options[name] : undefined;
  return own ? own.value === undefined : BOOLEANS.includes(name.replace(/^no-/, ''));
}

function take(read, name, value) {
  const { options } = read;
  switch (name) {
    case 'workers': return Object.assign(options, workersOf(value));
    case 'node-args': options.nodeArgs = [...options.nodeArgs ?? [], ...value.split(/\s+/).filter(Boolean)];
      return undefined;
    case 'env': return takeVariable(read, value);
    case 'monitor': return Object.assign(options, monitorOf(value));
    case 'ecv': options.ecv = ecvOf(value);
      return undefined;
    case 'json': read.isJson = true;
      return undefined;
    case 'quiet': read.isQuiet = true;
      return undefined;
    case 'config': read.config = value;
      return undefined;
    case 'only': read.only = value;
      return undefined;
    case 'wait-ready': options.waitReady = value !== 'false';
      return undefined;
    default: return put(options, name.split('.'), plain(value));
  }
}

function takeVariable(read, text) {
  const cut = text.indexOf('=');
  if (cut === 0) throw misused(`--env takes NAME=VALUE, or the NAME of a part of a PM2 file, got '${text}'`, 'start');
  if (cut < 0) read.environment = text;
  else read.options.env = { ...read.options.env, [text.slice(0, cut)]: text.slice(cut + 1) };
}

function put(options, [name, ...rest], value) {
  if (rest.length === 0) options[name] = value;
  else put(options[name] = isObject(options[name]) ? options[name] : {}, rest, value);
}

function plain(text) {
  if (text === 'true') return true;
  return text === 'false' ? false : text;
}

function workersOf(given) {
  return ['max', 'auto', ''].includes(textOf(given)) ? { noWorkers: undefined } : { noWorkers: given };
}

function monitorOf(text) {
  if (OFF.includes(text)) return { monPort: false };
  const [, host, port] = MONITOR.exec(text) ?? [];
  if (port === undefined) throw misused(`--monitor takes [HOST:]PORT or off, got '${text}'`, 'start');
  return { monPort: port, ...host === undefined ? {} : { monHost: host.replace(/^\[(.*)\]$/, '$1') } };
}

function ecvOf(text) {
  return OFF.includes(text) ? false : { path: text };
}

// What a value says, also one that JavaScript makes no text of, as `{toString: null}`.
function textOf(value) {
  try {
    return String(value);
  } catch {
    return typeof value;
  }
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
