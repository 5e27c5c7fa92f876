'use strict';

// What npm runs around `npm pack` and `npm publish`: `node scripts/pack.js before` puts the Rust sources into one
// compressed file, which keeps the package small where nobody builds it, and `after` takes it away again.

const fs = require('node:fs');
const path = require('node:path');
const { brotliCompressSync } = require('node:zlib');

const { root, filesBelow } = require('./tools.js');

const FILE = path.join(root, 'sources.json.br');

/**
 * By name, one character for each byte: everything that `cargo build --lib` reads. Tests, and what only tests and fuzz
 * targets compile, are left out, which cargo does not mind.
 */
function sources() {
  const names = ['Cargo.toml', 'Cargo.lock', 'build.rs', ...filesBelow('src').filter(isBuilt)];
  return Object.fromEntries(names.map((name) => [name, fs.readFileSync(path.join(root, name), 'latin1')]));
}

function isBuilt(file) {
  return !file.startsWith('src/fuzzing/') && !/\/tests(?:\/|\.rs$)/.test(file);
}

const [when] = process.argv.slice(2);
if (when === 'before') fs.writeFileSync(FILE, brotliCompressSync(JSON.stringify(sources())));
else fs.rmSync(FILE, { force: true });
