'use strict';

// Where cargo is, and what it says it has made. Shared by the scripts of a checkout and by install.js, which is
// part of the published package; so it needs nothing but Node.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/**
 * Makes cargo reachable where rustup put it, for shells that were open before Rust was installed; false: no
 * cargo.
 */
function findCargo() {
  if (isOnPath('cargo')) return true;
  const usual = path.join(process.env.CARGO_HOME ?? path.join(os.homedir(), '.cargo'), 'bin');
  if (!isFile(path.join(usual, 'cargo'))) return false;
  process.env.PATH = [usual, process.env.PATH ?? ''].join(path.delimiter);
  return true;
}

function isOnPath(program) {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  return folders.some((folder) => isFile(path.join(folder, program)));
}

/** The addon that cargo says it has made, among its messages (`--message-format=json`); undefined: none. */
function libraryIn(output) {
  return output.split('\n').map(libraryOf).filter(Boolean).at(-1);
}

/** One message; others are about other crates. */
function libraryOf(line) {
  if (!line.startsWith('{"reason":"compiler-artifact"')) return undefined;
  const { target, filenames } = JSON.parse(line);
  if (target.name !== 'cluster2' || !target.kind.includes('cdylib')) return undefined;
  return filenames.find((name) => /\.(so|dylib)$/.test(name));
}

/** Gives a file another content at once; whoever has the old one open or mapped keeps that. */
function replaceFile(source, file) {
  const fresh = `${file}.${process.pid}.tmp`;
  fs.copyFileSync(source, fresh);
  fs.renameSync(fresh, file);
}

function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

module.exports = { findCargo, isOnPath, libraryIn, replaceFile };
