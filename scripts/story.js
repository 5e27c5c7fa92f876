'use strict';

// Every source file opens by telling its job: Rust with `//!`, JavaScript with a comment before its first
// statement.

const fs = require('node:fs');
const path = require('node:path');

const { root, filesBelow, isFile } = require('./tools.js');

const FOLDERS = ['benches', 'bin', 'examples', 'fuzz/targets', 'lib', 'scripts', 'src', 'test'];
const SINGLE = ['build.rs', 'cluster.js', 'eslint.config.js', 'index.js', 'register.js'];

/** The files that lack their story. */
function filesWithoutStory() {
  const files = [...SINGLE.filter((file) => isFile(path.join(root, file))), ...FOLDERS.flatMap(filesBelow)];
  return files.filter((file) => {
    if (file.includes('node_modules/')) return false;
    const text = () => fs.readFileSync(path.join(root, file), 'utf8');
    if (file.endsWith('.rs')) return !text().startsWith('//!');
    return /\.[cm]?js$/.test(file) && !/^(#!.*\n)?\s*('use strict';)?\s*\/[/*]/.test(text());
  });
}

module.exports = { filesWithoutStory };
