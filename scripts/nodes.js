'use strict';

// The Node versions on which the suite must pass, and where their programs are: npm packages that hold
// nothing but `bin/node`, kept below .cache/nodes/, one folder each. A version is fetched once; the Node that
// runs this script is taken as it is where it is one of them.

const fs = require('node:fs');
const path = require('node:path');

const { cache, isFile, npm, run, say } = require('./tools.js');

/** The last release of each major that is supported. */
const VERSIONS = ['18.20.8', '20.20.2', '22.23.3', '24.21.0', '26.10.0'];

const FOLDER = path.join(cache, 'nodes');
const PACKAGE = `node-${process.platform}-${process.arch}`;
const LONGEST_FETCH = 5 * 60_000;

/**
 * Returns `{version, program}` for each version; where it could not be had, `problem` in place of `program`.
 */
async function obtainNodes() {
  const nodes = [];
  for (const version of VERSIONS) nodes.push(await obtainNode(version));
  return nodes;
}

async function obtainNode(version) {
  if (process.versions.node === version) return { version, program: process.execPath };
  const home = path.join(FOLDER, version);
  const program = path.join(home, 'node_modules', PACKAGE, 'bin/node');
  const problem = isFile(program) ? null : await fetchNode(version, home);
  if (problem !== null) return { version, problem };
  const answer = await run(program, ['--version'], { output: 'hide', timeout: 30_000 });
  if (answer.output.trim() === `v${version}`) return { version, program };
  return { version, problem: `${program} does not run here` };
}

/**
 * Installs the package into a folder beside `home`, and gives it that name when it is whole; returns a
 * problem or null.
 */
async function fetchNode(version, home) {
  say(`Fetching ${PACKAGE}@${version}`);
  const unfinished = `${home}.${process.pid}.tmp`;
  fs.mkdirSync(unfinished, { recursive: true });
  const quick = ['--no-audit', '--no-fund', '--fetch-retries=1', '--fetch-retry-mintimeout=1000'];
  const args = ['install', '--ignore-scripts', '--no-save', ...quick, '--prefix', unfinished, `${PACKAGE}@${version}`];
  const { ok, overdue, output } = await npm(args, { output: 'hide', timeout: LONGEST_FETCH });
  try {
    if (ok) {
      fs.rmSync(home, { recursive: true, force: true });
      fs.renameSync(unfinished, home);
      return null;
    }
    const reason = overdue ? 'it took too long' : output.match(/npm (?:error|ERR!) (?!code|syscall|errno)(.*)/)?.[1];
    return `${PACKAGE}@${version} could not be fetched${reason ? `: ${reason}` : ''}`;
  } finally {
    fs.rmSync(unfinished, { recursive: true, force: true });
  }
}

module.exports = { VERSIONS, obtainNodes };
