// The configuration of `cluster2 start`: a file of ours, the key `cluster2` of package.json, or a PM2 ecosystem file.
//
// lib/cli/start/start.js asks once. Options of ours count together with whatever script is named on the command line.
// An ecosystem file names its own script, so it is read only where the command names none, or names that file. A file
// that is JavaScript is run in this process, which is the master: it is configuration, and not the application.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const { Failure, MISUSED } = require('../failure');
const { fromConfig, isObject, readRest } = require('./options');

const OURS = ['cluster2.config.js', 'cluster2.config.cjs', 'cluster2.config.mjs', 'cluster2.config.json'];
const OF_PM2 = ['ecosystem.config.js', 'ecosystem.config.cjs', 'ecosystem.config.mjs', 'ecosystem.config.json',
  'ecosystem.json', 'pm2.config.js', 'pm2.config.cjs'];
const CONFIG = /(?:^|\/)(?:ecosystem|pm2|cluster2)(?:[.-][\w-]+)*\.config\.(?:[cm]?js|json)$|(?:^|\/)ecosystem\.json$/;

/**
 * Gives `{options, notes, source}`, or `{}` where there is none: the options of `new Cluster`, what has to be said
 * about them, and the name of the file. What the command line names as its script and is such a file is taken out of
 * `flags`.
 */
async function readConfig(flags) {
  const file = namedBy(flags) ?? found(flags);
  if (file === undefined) return ofPackage();
  const given = await load(path.resolve(file));
  const isPm2 = Array.isArray(given?.apps) || Array.isArray(given) || OF_PM2.includes(path.basename(file));
  if (isPm2) return require('./pm2').fromEcosystem(given, { ...flags, file });
  if (!isObject(given)) throw wrong(file, 'must export an object');
  refuseChoices(flags, file);
  return { options: fromConfig(given), source: file };
}

module.exports = { readConfig };

function namedBy(flags) {
  if (flags.config !== undefined) {
    return existing(flags.config);
  }
  if (flags.script === undefined || !CONFIG.test(flags.script)) return undefined;
  const file = existing(flags.script);
  flags.script = undefined;
  readRest(flags, flags.options.args);
  return file;
}

function existing(file) {
  if (!fs.existsSync(file)) throw new Failure(MISUSED, `there is no configuration ${path.resolve(file)}`);
  return file;
}

function found({ script }) {
  const names = script === undefined ? [...OURS, ...hasKey() ? [] : OF_PM2] : OURS;
  return names.find((name) => fs.existsSync(name));
}

function hasKey() {
  return packageJson()?.cluster2 !== undefined;
}

function ofPackage() {
  const given = packageJson()?.cluster2;
  if (given === undefined) return {};
  if (!isObject(given)) throw wrong('package.json', 'must have an object as its key `cluster2`');
  return { options: fromConfig(given), source: 'package.json' };
}

function packageJson() {
  try {
    return JSON.parse(fs.readFileSync('package.json', 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw wrong('package.json', `can't be read: ${error.message}`);
  }
}

async function load(file) {
  try {
    if (file.endsWith('.json')) return JSON.parse(fs.readFileSync(file, 'utf8'));
    const { default: given } = await Promise.race([import(pathToFileURL(file).href), nothingIsLeft(file)]);
    // What a CommonJS file marks as an ES module's default.
    const value = given?.default ?? given;
    return await Promise.race([typeof value === 'function' ? value() : value, nothingIsLeft(file)]);
  } catch (error) {
    throw error instanceof Failure ? error : wrong(file, `can't be read: ${error?.stack ?? error}`);
  }
}

// Rejects when the process would end before the promise of a configuration is settled.
function nothingIsLeft(file) {
  return new Promise((_, reject) => {
    process.once('beforeExit', () => reject(wrong(file, 'gives a promise that nothing settles')));
  });
}

function refuseChoices({ environment, only }, file) {
  if (only !== undefined) throw wrong(file, 'has no list of apps for --only');
  if (environment !== undefined) throw wrong(file, `has no parts for --env ${environment}; a variable is NAME=VALUE`);
}

function wrong(file, problem) {
  return new Failure(MISUSED, `the configuration ${path.relative('', file) || file} ${problem}`);
}
