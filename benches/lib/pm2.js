// PM2, fetched when it is measured: kept below .cache/, and no dependency of this package.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { cache, isFile, npm } = require('../../scripts/tools');

const VERSION = '7.0.4';
const HOME = path.join(cache, 'pm2', VERSION);
const ENTRY = path.join(HOME, 'node_modules/pm2');
const LONGEST_FETCH = 3 * 60_000;

/** Returns the folder of PM2, or null where it can't be had. */
async function obtainPm2() {
  if (isFile(path.join(ENTRY, 'package.json'))) return ENTRY;
  const unfinished = `${HOME}.${process.pid}.tmp`;
  fs.mkdirSync(unfinished, { recursive: true });
  const options = ['--ignore-scripts', '--no-save', '--no-audit', '--no-fund', '--fetch-retries=1'];
  const args = ['install', ...options, '--prefix', unfinished, `pm2@${VERSION}`];
  const { ok } = await npm(args, { output: 'hide', timeout: LONGEST_FETCH });
  if (ok) {
    fs.rmSync(HOME, { recursive: true, force: true });
    fs.renameSync(unfinished, HOME);
  }
  fs.rmSync(unfinished, { recursive: true, force: true });
  return ok ? ENTRY : null;
}

module.exports = { PM2_VERSION: VERSION, obtainPm2 };
