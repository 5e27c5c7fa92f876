'use strict';

// Makes a checkout ready to run: dev dependencies installed, addon built in release mode. `npm run build`
// runs it, and start.js and test.js call it first. Work that is already done is recognised by content, not by
// time, and skipped; to find that out costs a few milliseconds and loads no npm. It owns node_modules, the
// built addon with native.js and native.d.ts, and .cache/build.json.

const fs = require('node:fs');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');

const { currentTarget } = require('../lib/shared/native.js');
const { findCargo, libraryIn, replaceFile } = require('./cargo.js');
const { root, cache, npm, run, say } = require('./tools.js');
const { filesBelow, hashFiles, isFile, readJson } = require('./tools.js');

const STAMP = '.cache/build.json';
const RUST_HINT = 'It takes Rust (https://rustup.rs) and a C linker (on Debian: `apt install gcc`).';

/** Installs what package-lock.json names, unless it is there. Returns whether it is there now. */
async function install() {
  if (isInstalled()) return true;
  say('Installing dev dependencies (npm ci)');
  // NODE_ENV=production would leave out dev dependencies; the build and the checks are made of them.
  const options = ['--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  return (await npm(['ci', ...options])).ok;
}

/** Builds the addon, unless one from these very sources is there. Returns whether it is there now. */
async function build() {
  const addon = `cluster2-rs.${currentTarget()}.node`;
  return isBuilt(addon) || await make(addon);
}

async function make(addon) {
  say('Building the addon in release mode');
  if (!findCargo()) {
    say(`cargo was not found. ${RUST_HINT}`);
    return false;
  }
  const sources = hashFiles(sourceFiles());
  const built = napiRunsHere() ? await buildWithNapi() : await buildWithCargo(addon);
  if (!built || !isFile(path.join(root, addon))) {
    say(`The addon could not be built. ${RUST_HINT}`);
    return false;
  }
  fs.mkdirSync(cache, { recursive: true });
  // The hash was taken before the build: a source that changed meanwhile makes the next run build again.
  fs.writeFileSync(path.join(root, STAMP), JSON.stringify({ sources, addon: hashFiles([addon]) }));
  return true;
}

/**
 * npm leaves its own account of what it installed; it must agree with the lock file, and that with
 * package.json.
 */
function isInstalled() {
  const wanted = readJson('package-lock.json')?.packages;
  const present = readJson('node_modules/.package-lock.json')?.packages;
  if (wanted === undefined || present === undefined) return false;
  const { devDependencies } = readJson('package.json') ?? {};
  if (!isDeepStrictEqual(wanted['']?.devDependencies, devDependencies)) return false;
  const { '': _, ...packages } = wanted;
  const absent = Object.keys(packages).filter((name) => !(name in present));
  const others = Object.keys(present).filter((name) => !isSame(present[name], packages[name]));
  // What is optional may be absent: those are addons for other platforms.
  return others.length === 0 && absent.every((name) => packages[name].optional);
}

function isSame(present, wanted) {
  return wanted !== undefined && present.version === wanted.version && present.integrity === wanted.integrity;
}

/** True if the addon is the one that was built last, from sources that have not changed since. */
function isBuilt(addon) {
  const stamp = readJson(STAMP);
  if (stamp === null || typeof stamp.addon !== 'string') return false;
  return stamp.sources === hashFiles(sourceFiles()) && stamp.addon === hashFiles([addon]);
}

function sourceFiles() {
  return ['Cargo.toml', 'Cargo.lock', 'build.rs', ...filesBelow('src')];
}

/** The build tool needs a newer Node than what it builds. */
function napiRunsHere() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const oldestMinor = { 20: 17, 22: 13, 23: 5 }[major] ?? 0;
  return major >= 20 && major !== 21 && minor >= oldestMinor && napiEntry() !== undefined;
}

function napiEntry() {
  const bin = readJson('node_modules/@napi-rs/cli/package.json')?.bin;
  const entry = typeof bin === 'string' ? bin : bin?.napi;
  return entry && path.join(root, 'node_modules/@napi-rs/cli', entry);
}

async function buildWithNapi() {
  const options = ['--platform', '--release', '--js', 'native.js', '--dts', 'native.d.ts'];
  return (await run(process.execPath, [napiEntry(), 'build', ...options])).ok;
}

/** The same without the build tool: the loader and types that it generates are not needed to run. */
async function buildWithCargo(addon) {
  const messages = '--message-format=json-render-diagnostics';
  const { ok, output } = await run('cargo', ['build', '--release', '--lib', messages], { output: 'take' });
  const library = ok && libraryIn(output);
  if (!library) return false;
  // A running master may have the old file mapped.
  replaceFile(library, path.join(root, addon));
  return true;
}

async function main() {
  const ready = await install() && await build();
  if (!ready) process.exitCode = 1;
}

module.exports = { install, build };

if (require.main === module) main();
