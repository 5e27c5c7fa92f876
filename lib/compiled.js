// Loads this package's modules from what V8 made of them at installation (`scripts/compile.js`), so that each process
// of a cluster begins sooner: to read and compile two dozen files costs each about 5 ms.
//
// index.js calls it, in the master and in every worker. One file for each version of V8 and each role holds the sources
// and V8's bytecode. A module whose file has changed since, or is not in there, is loaded in the usual way, and so is
// everything where there is no such file: nothing but time depends on it, and nothing is written here.
// Invariant: a module exists once, whichever way it was asked for, since all are in `require.cache`.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { Script } = require('node:vm');

// `node:module` is the same, but brings others with it.
const Module = module.constructor;
const FOLDER = path.resolve(__dirname, '..', 'compiled');
const NEWLINE = 10;
const OWN = /^\.\/([\w-]+)$/;

const role = process.env.CLUSTER2_MASTER === undefined ? 'master' : 'worker';
const pack = read(compiledFile(role));

requireOwn.resolve = require.resolve;
requireOwn.cache = require.cache;

/** Gives the module `name` of this folder, by `otherwise` where it is not compiled. */
function load(name, otherwise) {
  const file = `${__dirname}${path.sep}${name}.js`;
  const known = require.cache[file];
  if (known !== undefined) return known.exports;
  const found = pack?.get(name);
  return found !== undefined && isSame(file, found) ? run(file, found) : otherwise();
}

/** Where the compiled modules of a role stand, for the version of V8 that runs. */
function compiledFile(which, folder = FOLDER) {
  return path.join(folder, `${process.versions.v8}-${process.arch}.${which}`);
}

/** The modules in a file, by name; undefined where it is missing or damaged. */
function read(file) {
  try {
    const bytes = fs.readFileSync(file);
    const end = bytes.indexOf(NEWLINE);
    const modules = new Map();
    let at = end + 1;
    for (const { name, size, mtimeMs, source, code } of JSON.parse(bytes.latin1Slice(0, end))) {
      const middle = at + source;
      modules.set(name, { size, mtimeMs, bytes, at, middle, end: middle + code });
      at = middle + code;
    }
    return at === bytes.length ? modules : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the file of a module is still the one that was compiled. */
function isSame(file, { size, mtimeMs }) {
  const now = fs.statSync(file, { throwIfNoEntry: false });
  return now !== undefined && now.size === size && now.mtimeMs === mtimeMs;
}

module.exports = { FOLDER, load, compiledFile, read, isSame };

function run(file, { bytes, at, middle, end }) {
  const cachedData = bytes.subarray(middle, end);
  // Bytecode that V8 does not take, since it runs with other flags, is as if there were none.
  const script = new Script(bytes.latin1Slice(at, middle), { filename: file, cachedData });
  const loaded = new Module(file, module);
  loaded.filename = file;
  require.cache[file] = loaded;
  try {
    script.runInThisContext()(loaded.exports, requireOwn, loaded, file, __dirname);
  } catch (error) {
    delete require.cache[file];
    throw error;
  }
  loaded.loaded = true;
  return loaded.exports;
}

// What `require` is to a compiled module.
function requireOwn(id) {
  const own = OWN.exec(id);
  return own === null ? require(id) : load(own[1], () => require(id));
}
