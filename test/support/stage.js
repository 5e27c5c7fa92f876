// A copy of the examples beside packages of one's choice, so that each is run as its users run it.
//
// A stage is a directory with `examples/`, an `index.js` in the place of this package, and `node_modules/`. Whoever
// makes one removes it.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { makeDirectory, PACKAGE } = require('./program');

const ROOT = path.join(__dirname, '..', '..');

/** Lays the examples out in `directory`, beside the packages that are there; gives the directory of the examples. */
function layExamples(directory) {
  const examples = path.join(directory, 'examples');
  fs.rmSync(examples, { recursive: true, force: true });
  fs.cpSync(path.join(ROOT, 'examples'), examples, { recursive: true });
  fs.writeFileSync(path.join(directory, 'index.js'), `module.exports = require(${JSON.stringify(PACKAGE)});\n`);
  return examples;
}

/** A new stage with the dev dependencies of these names; `as` gives some of them another name. */
function makeStage(names, as = {}) {
  const directory = makeDirectory();
  const modules = path.join(directory, 'node_modules');
  for (const name of names) {
    const link = path.join(modules, as[name] ?? name);
    fs.mkdirSync(path.dirname(link), { recursive: true });
    fs.symlinkSync(path.join(ROOT, 'node_modules', name), link);
  }
  return { directory, examples: layExamples(directory) };
}

module.exports = { layExamples, makeStage };
