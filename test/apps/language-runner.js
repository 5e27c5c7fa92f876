// Runs a script of another language within itself, as CoffeeScript's command does: `language-runner.js <script> ...`.
'use strict';

const fs = require('node:fs');

const [, , script] = process.argv;
process.argv.splice(1, 1);
module.filename = script;
module._compile(fs.readFileSync(script, 'utf8').replaceAll('BEGIN', '{').replaceAll('END', '}'), script);
