// Whether a script is a cluster master itself: one of this package or of cluster2, or of `node:cluster`.
//
// lib/cli/start/start.js asks before anything is run. It reads the script and the files of the application that this
// loads, as text: nothing of them is executed. What is not found here runs in workers, where `node:cluster` shows it as
// a worker, and where its Cluster is a guest (lib/worker/guest.js). Owns nothing.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { isFile } = require('../../shared/file-kind');

const PACKAGE = path.resolve(__dirname, '../../..');
const ENDINGS = ['', '.js', '.cjs', '.mjs', '.ts', '.mts', '.cts', '/index.js'];
const MOST_FILES = 60;
const MOST_BYTES = 512 * 1024;
// The last text of a `require(...)` or `import(...)`, or what an import or export is from.
const LOADS = /\b(?:require|import)\s*\(([^()\n]*)\)|\b(?:from|import)\s*(['"][^'"\n]+['"])/g;
const TEXT = /(['"])([^'"]+)\1\s*$/;
const COMMENTS = /^\s*(?:\/\/|\*|\/\*).*$/gm;
const OURS = /^cluster2(?:-rs)?(?:\/.*)?$/;
const FORKS = /\.\s*(?:fork|setupPrimary|setupMaster)\s*\(|\bfork\s*\(/;
// Libraries that fork workers for their caller.
const FORKERS = ['cfork', 'cluster-master', 'cluster-service', 'egg-cluster', 'express-cluster', 'graceful-cluster',
  'naught', 'recluster', 'sticky-cluster', 'sticky-session', 'throng'];

/** `{what, where}`: by what it is known, and in which file; undefined where it is none. */
function masterIn(script) {
  const first = realFile(script);
  if (first === undefined) return undefined;
  const seen = new Set([first]);
  for (const file of seen) {
    const { names, text } = read(file);
    const what = known(names, text, path.dirname(file));
    if (what) return { what, where: path.relative('', file) || file };
    for (const name of names) {
      const next = name.startsWith('.') && seen.size < MOST_FILES && fileOf(path.resolve(path.dirname(file), name));
      if (next) seen.add(next);
    }
  }
  return undefined;
}

module.exports = { masterIn };

function known(names, text, directory) {
  const ours = names.find((name) => OURS.test(name) || isPackage(name, directory));
  if (ours) return `it loads ${ours}`;
  const forker = names.find((name) => FORKERS.includes(name));
  if (forker) return `it loads ${forker}`;
  const forks = names.some((name) => name === 'cluster' || name === 'node:cluster') && FORKS.test(text);
  return forks ? 'it forks with node:cluster' : undefined;
}

function isPackage(name, directory) {
  if (!name.startsWith('.') && !path.isAbsolute(name)) return false;
  const file = path.resolve(directory, name);
  return file === PACKAGE || file === path.join(PACKAGE, 'index.js') || file === path.join(PACKAGE, 'index');
}

function read(file) {
  const text = textOf(file).replace(COMMENTS, '');
  const names = [...text.matchAll(LOADS)].map(([, args, from]) => TEXT.exec(args ?? from)?.[2]).filter(Boolean);
  return { names, text };
}

function textOf(file) {
  try {
    return fs.statSync(file).size > MOST_BYTES ? '' : fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function realFile(script) {
  const file = fileOf(script) ?? mainOf(script);
  return file && fs.realpathSync(file);
}

function fileOf(name) {
  return ENDINGS.map((ending) => name + ending).find(isFile);
}

function mainOf(directory) {
  try {
    const { main = 'index.js' } = JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'));
    return fileOf(path.resolve(directory, main));
  } catch {
    return undefined;
  }
}
