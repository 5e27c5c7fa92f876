'use strict';

// What npm runs when the published package is installed: no build where the platform's addon is there and loads;
// else it builds the addon with cargo, from the sources that the package brings; else it says what is missing and
// fails, since a package that can't be loaded is not installed.
//
// It needs nothing but Node, and no network of its own (cargo fetches crates). It is done at installation rather
// than by the first `require`, because then there is somebody who can act on a problem, the directory may be
// written, and no server waits for a compiler. It owns a temporary directory, and in the package's own folder the
// addon. `node scripts/install.js` may be run again at any time; in a checkout it does nothing: `npm run build` is
// for that.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { brotliDecompressSync } = require('node:zlib');

const { currentTarget, locate } = require('../lib/shared/native.js');
const { findCargo, isOnPath, libraryIn, replaceFile } = require('./cargo.js');

const FOLDER = path.resolve(__dirname, '..');
const SOURCES = path.join(FOLDER, 'sources.json.br');
const NO_SOURCES = 'the package was packed without its Rust sources, which its script `prepare` adds (from git npm ' +
  'runs it, unless scripts are ignored). Install it from a registry or, in a checkout, pack it with `npm pack`.';
const AGAIN = `Then install again, or run \`node ${path.join(FOLDER, 'scripts/install.js')}\`.`;

function main() {
  // A checkout has the sources as they are; the published package brings them in one file.
  if (fs.existsSync(path.join(FOLDER, 'Cargo.toml')) || isForElsewhere(process.env)) return;
  const target = currentTarget();
  const problem = whatIsWrong(target);
  if (problem !== undefined) buildBecause(problem, target);
}

function buildBecause(problem, target) {
  if (!fs.existsSync(SOURCES)) fail(`${problem} It can't be built here: ${NO_SOURCES}`);
  const lacking = whatIsLacking();
  if (lacking !== undefined) fail(`${problem} It could be built here, but ${lacking} ${AGAIN}`);
  say(`${problem} It is built with cargo now; that takes some minutes.`);
  build(target);
  say('The addon is built.');
}

/** `npm install --os=... --cpu=...` installs for another machine: nothing built here would run there. */
function isForElsewhere({ npm_config_os: system, npm_config_cpu: processor }) {
  return (system ?? process.platform) !== process.platform || (processor ?? process.arch) !== process.arch;
}

/** Why the addon must be built; undefined if one is there that loads. */
function whatIsWrong(target) {
  const prebuilt = `the package cluster2-rs-${target}`;
  let file;
  try {
    file = locate(target, FOLDER);
  } catch {
    return `There is no addon for ${target}: ${prebuilt} was not installed.`;
  }
  try {
    require(file);
    return undefined;
  } catch (error) {
    return `The addon ${file} does not load here (${error.message}).`;
  }
}

/** What has to be there before a build makes sense, and is not. */
function whatIsLacking() {
  const wanted = /^rust-version = "(.*)"$/m.exec(sources()['Cargo.toml'])[1];
  const rust = `install Rust ${wanted} or later (https://rustup.rs).`;
  if (!findCargo()) return `cargo was not found: ${rust}`;
  const found = /^rustc (\d+\.\d+)/.exec(spawnSync('rustc', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1];
  if (found === undefined) return `rustc was not found: ${rust}`;
  if (isOlder(found, wanted)) return `rustc is ${found}: ${rust}`;
  if (!isOnPath('cc')) return 'the C linker `cc` was not found: install one (on Debian: `apt install gcc`).';
  return undefined;
}

function isOlder(found, wanted) {
  const [major, minor] = found.split('.').map(Number);
  const [oldest, oldestMinor] = wanted.split('.').map(Number);
  return major < oldest || (major === oldest && minor < oldestMinor);
}

function build(target) {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-rs-'));
  process.on('exit', () => fs.rmSync(place, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(sources())) {
    const file = path.join(place, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text, 'latin1');
  }
  const messages = '--message-format=json-render-diagnostics';
  const { status, stdout, error } = spawnSync('cargo', ['build', '--release', '--lib', '--locked', messages], {
    cwd: place,
    env: { ...process.env, CARGO_TARGET_DIR: path.join(place, 'target'), ...flagsFor(target) },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: Infinity,
  });
  const library = status === 0 ? libraryIn(stdout) : undefined;
  if (library === undefined) fail(`The addon could not be built (cargo: ${error?.message ?? `status ${status}`}).`);
  replaceFile(library, path.join(FOLDER, `cluster2-rs.${target}.node`));
}

/** musl's programs are linked statically unless told otherwise, and such a one can't be an addon. */
function flagsFor(target) {
  if (!target.endsWith('-musl')) return {};
  return { RUSTFLAGS: `${process.env.RUSTFLAGS ?? ''} -C target-feature=-crt-static`.trim() };
}

/** By name, one character for each byte: every file that cargo needs. */
function sources() {
  return JSON.parse(brotliDecompressSync(fs.readFileSync(SOURCES)).toString('utf8'));
}

function say(text) {
  process.stdout.write(`cluster2-rs: ${text}\n`);
}

function fail(text) {
  process.stderr.write(`cluster2-rs: ${text}\n`);
  process.exit(1);
}

try {
  main();
} catch (error) {
  fail(error.code === 'ERR_CLUSTER2_UNSUPPORTED_PLATFORM' ? error.message : error.stack);
}
