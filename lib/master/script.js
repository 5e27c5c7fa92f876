// A script that workers run as it is, with nothing of this package in it: the option `exec`.
//
// lib/master/master.js makes one `Script` at its start; worker-settings.js asks it for what is special about such
// workers. Node runs lib/worker/preload.js in them before the script, which finds the options in the environment. Owns
// nothing.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { createError } = require('../shared/errors');
const { isFile } = require('../shared/file-kind');

const PRELOAD = path.join(__dirname, '../worker/preload.js');
// What Node itself tries after a name.
const ENDINGS = ['', '.js', '.json', '.node'];
// How much of a file shows what it is, and what a shell needs to find the program behind a link.
const HEAD_BYTES = 4096;
const TARGET_OF_SHIM = /"\$basedir\/([^"$]+\.[cm]?js)"/;

class Script {
  /** The script, absolute. */
  file;
  /** Its arguments, flags of Node itself, and what its workers find in the environment beside the option `env`. */
  args;
  execArgv;
  env;

  /** The options as they were given and as they were parsed. Throws ERR_CLUSTER2_EXEC. */
  constructor(raw, parsed) {
    const { args, cwd, exec, nodeArgs } = parsed;
    this.file = fileOf(exec, cwd);
    this.args = args;
    this.execArgv = [`--require=${PRELOAD}`, ...nodeArgs];
    // The monitor's token is no business of workers. What is asked on the application's port is the application's,
    // unless somebody asked for our answer; and the port that the answer names is the one that was asked.
    const ecv = isGiven(raw.ecv) ? parsed.ecv : null;
    const raws = { ...raw, monitor: undefined };
    this.env = { CLUSTER2_EXEC: JSON.stringify({ raw: raws, parsed: { ...parsed, ecv, env: {}, port: [0] } }) };
  }
}

/**
 * The script that `exec` means: a file or a directory, by the workers' directory or by that of this process; else a
 * program of the packages that are installed there (`next`). Throws ERR_CLUSTER2_EXEC.
 */
function fileOf(exec, cwd = null) {
  if (typeof exec !== 'string' || exec === '') throw createError('ERR_CLUSTER2_EXEC', exec, 'a path is a text');
  const places = [...new Set([cwd ?? process.cwd(), process.cwd()])];
  const candidates = places.map((place) => path.resolve(place, exec));
  const found = candidates.find((file) => ENDINGS.some((ending) => fs.existsSync(file + ending)));
  if (found) return behindShim(exec, runnable(exec, found));
  const isName = !exec.includes('/') && !exec.includes('\\');
  const program = isName ? places.map((place) => programAbove(place, exec)).find(Boolean) : undefined;
  if (program) return behindShim(exec, program);
  const also = isName ? `, nor a program of that name in ${path.join(places[0], 'node_modules/.bin')}` : '';
  throw createError('ERR_CLUSTER2_EXEC', exec, `there is no script ${candidates[0]}${also}`);
}

module.exports = { Script, fileOf };

// A directory is run by its main file, as with `node`.
function runnable(exec, file) {
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  if (stats?.isDirectory()) {
    try {
      require.resolve(file);
    } catch {
      const problem = `${file} has no index.js, and no package.json with a \`main\` that is there`;
      throw createError('ERR_CLUSTER2_EXEC', exec, problem);
    }
  } else if (stats && !stats.isFile()) {
    throw createError('ERR_CLUSTER2_EXEC', exec, `${file} is neither a file nor a directory`);
  }
  return file;
}

function programAbove(place, name) {
  for (let at = place; ; at = path.dirname(at)) {
    const file = path.join(at, 'node_modules/.bin', name);
    if (fs.existsSync(file)) return file;
    if (at === path.dirname(at)) return undefined;
  }
}

// Some package managers put a shell script in the place of a link; it names the program that it starts.
function behindShim(exec, file) {
  if (!isFile(file)) return file;
  const head = headOf(file);
  const [first] = head.split('\n', 1);
  if (!first.startsWith('#!') || /\b(node|bun|deno|tsx|ts-node)\b/.test(first)) return file;
  const target = TARGET_OF_SHIM.exec(head)?.[1];
  if (target) return path.resolve(path.dirname(file), target);
  throw createError('ERR_CLUSTER2_EXEC', exec, `${file} begins with '${first.slice(0, 80)}'`);
}

function headOf(file) {
  const fd = fs.openSync(file, 'r');
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    return head.toString('utf8', 0, fs.readSync(fd, head, 0, HEAD_BYTES, 0));
  } finally {
    fs.closeSync(fd);
  }
}

function isGiven(value) {
  return value !== undefined && value !== null && value !== false && value.$js === undefined;
}
