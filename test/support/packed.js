// The package as it is published: packed, with one package per platform beside it, of which that of this machine holds
// the addon of this checkout; and a project into which npm has installed it under the name cluster2.
//
// Tests of several files share it: it is made once per process, at the first call, and removed when the process ends.
'use strict';

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');

const { currentTarget, addonFile } = require('../../lib/shared/native');
const { VERSIONS } = require('../../scripts/nodes');
const { makeDirectory } = require('./program');
const { openRegistry } = require('./registry');

const ROOT = path.join(__dirname, '../..');
const TARGET = currentTarget();
const PATIENCE_MS = 120_000;
// Without them npm would look further than it has to, or behave as the npm that may run these tests was told to.
const QUIET = ['--no-audit', '--no-fund', '--no-update-notifier', '--fetch-retries=0', '--loglevel=error',
  '--noproxy=127.0.0.1', '--ignore-scripts=false'];

let made;

/** Why that can't be done here; undefined if it can. */
function whyNotPacked() {
  return toolNode() === undefined ? 'npm and the build tool need Node 20.17 or later' : undefined;
}

/** The Node that runs npm and the build tool: this one, else one that `npm test` has fetched. */
function toolNode() {
  const isFit = (version) => {
    const [major, minor] = version.split('.').map(Number);
    return major > 20 || (major === 20 && minor >= 17);
  };
  if (isFit(process.versions.node)) return process.execPath;
  const name = `node-${process.platform}-${process.arch}`;
  const fetched = VERSIONS.filter(isFit).map((version) => (
    path.join(ROOT, '.cache/nodes', version, 'node_modules', name, 'bin/node')));
  return fetched.find((file) => fs.existsSync(file));
}

/**
 * Resolves with `{main, platform, stage, project, fetched, log}`: what `npm pack` says of both packages, the unpacked
 * main package, the project, the tarballs that its installation fetched, and what its compiler was asked.
 */
function packed() {
  made ??= make();
  return made;
}

module.exports = { packed, whyNotPacked, npm, fakePrograms, TARGET };

async function make() {
  const home = makeDirectory();
  process.on('exit', () => fs.rmSync(home, { recursive: true, force: true }));
  const [stage, project] = ['package', 'project'].map((name) => path.join(home, name));
  const raw = await pack(ROOT, home);
  await run('tar', ['-xzf', raw.tarball, '-C', home], home);
  const platforms = await makePlatforms(stage);
  const described = readJson(path.join(stage, 'package.json'));
  // As `napi prepublish` adds them, once every platform's addon is there.
  described.optionalDependencies = Object.fromEntries(platforms.map(({ name, version }) => [name, version]));
  fs.writeFileSync(path.join(stage, 'package.json'), JSON.stringify(described, null, 2));
  const here = path.join(stage, 'npm', TARGET);
  fs.copyFileSync(addonFile(), path.join(here, `cluster2-rs.${TARGET}.node`));
  const main = await pack(stage, home, '--ignore-scripts');
  const platform = await pack(here, home);
  const others = platforms.filter(({ name }) => name !== platform.name).map((manifest) => ({ manifest }));
  const registry = await openRegistry([
    { manifest: { ...described, hasInstallScript: true }, tarball: main.tarball },
    { manifest: readJson(path.join(here, 'package.json')), tarball: platform.tarball },
    ...others,
  ]);
  fs.mkdirSync(project);
  fs.writeFileSync(path.join(project, 'package.json'), '{ "name": "empty", "version": "1.0.0", "private": true }');
  const log = path.join(home, 'compiler.log');
  const { PATH } = fakePrograms(path.join(home, 'fakes'), { cargo: `echo cargo "$@" >> ${log}; exit 1` });
  try {
    const from = ['--registry', registry.url, '--cache', path.join(home, 'cache')];
    await npm(['install', 'cluster2@npm:cluster2-rs', ...from], project, { first: PATH });
  } finally {
    registry.close();
  }
  return { main, platform, stage, project, fetched: registry.fetched, log: readIfThere(log) };
}

async function pack(folder, destination, ...options) {
  const said = await npm(['pack', '--json', '--pack-destination', destination], folder, { options });
  const [described] = JSON.parse(said);
  return { ...described, tarball: path.join(destination, described.filename) };
}

async function makePlatforms(stage) {
  const { bin } = readJson(path.join(ROOT, 'node_modules/@napi-rs/cli/package.json'));
  const entry = path.join(ROOT, 'node_modules/@napi-rs/cli', bin.napi ?? bin);
  await run(toolNode(), [entry, 'create-npm-dirs'], stage);
  const folders = fs.readdirSync(path.join(stage, 'npm'));
  return folders.map((folder) => readJson(path.join(stage, 'npm', folder, 'package.json')));
}

/** Runs npm; resolves with its stdout. Programs in the folder `first` are found before all others. */
function npm(args, cwd, { first, options = [] } = {}) {
  const folders = [first, path.dirname(toolNode()), process.env.PATH].filter(Boolean);
  return run('npm', [...args, ...QUIET, ...options], cwd, { PATH: folders.join(path.delimiter) });
}

async function run(program, args, cwd, env = {}) {
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const all = { ...Object.fromEntries(inherited), ...env };
  const { stdout } = await promisify(execFile)(program, args, { cwd, env: all, timeout: PATIENCE_MS });
  return stdout;
}

/** A folder of shell scripts by name, for a PATH. */
function fakePrograms(folder, programs) {
  fs.mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(programs)) {
    fs.writeFileSync(path.join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  return { PATH: folder };
}

function readJson(file) {
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}

function readIfThere(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
}
