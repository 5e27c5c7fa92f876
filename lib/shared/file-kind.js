// What a path leads to, links followed. What can't be looked at is nothing.
'use strict';

const fs = require('node:fs');

function isFile(path) {
  return statsOf(path)?.isFile() ?? false;
}

function isDirectory(path) {
  return statsOf(path)?.isDirectory() ?? false;
}

module.exports = { isDirectory, isFile };

function statsOf(path) {
  try {
    return fs.statSync(path);
  } catch {
    return undefined;
  }
}
