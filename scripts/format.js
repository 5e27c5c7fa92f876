'use strict';

// `npm run format`: puts Rust and JavaScript into the form that the step "format" of `npm test` asks for.

const { install } = require('./setup.js');
const { findCargo } = require('./cargo.js');
const { run, runTool, say } = require('./tools.js');

async function main() {
  if (!findCargo()) say('cargo was not found: only JavaScript is formatted.');
  else {
    await run('cargo', ['fmt']);
    for (const other of ['benches/load', 'fuzz']) {
      await run('cargo', ['fmt', '--manifest-path', `${other}/Cargo.toml`]);
    }
  }
  const { ok } = await install() ? await runTool('eslint/bin/eslint.js', ['--fix', '.']) : { ok: false };
  if (!ok) process.exitCode = 1;
}

main();
