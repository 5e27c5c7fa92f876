'use strict';

// Leaves V8's bytecode of `lib/` behind for lib/compiled.js, for the version of Node that runs this. `npm run build`
// and the installation of the published package call it.
//
// What a process uses until it serves is known best by one that did: so a cluster of one worker is run for a moment, on
// a unix socket in a directory of its own, and asked once (scripts/compiling.js). Where that fails, everything runs as
// before, only not as soon. It owns the folder `compiled/`; what other versions of Node left there stays.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { FOLDER, compiledFile, isSame, read } = require('../lib/compiled.js');

const LIB = path.resolve(__dirname, '../lib');
const LONGEST_MS = 20_000;
const PROGRAM = path.join(__dirname, 'compiling.js');

/** Compiles, unless that was done for these very files. Gives whether all is compiled now. */
function compile() {
  if (isCompiled('master') && isCompiled('worker')) return true;
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-compile-'));
  try {
    fs.mkdirSync(FOLDER, { recursive: true });
    for (const role of ['master', 'worker']) fs.rmSync(compiledFile(role), { force: true });
    spawnSync(process.execPath, [PROGRAM, place], {
      stdio: 'ignore',
      timeout: LONGEST_MS,
      killSignal: 'SIGKILL',
    });
    for (const role of ['master', 'worker']) fs.copyFileSync(compiledFile(role, place), compiledFile(role));
  } catch {
    // The folder may be read-only; without the files nothing is wrong.
  } finally {
    fs.rmSync(place, { recursive: true, force: true });
  }
  return isCompiled('master') && isCompiled('worker');
}

function isCompiled(role) {
  const modules = read(compiledFile(role));
  return modules !== undefined &&
    [...modules].every(([name, found]) => isSame(path.join(LIB, `${name}.js`), found));
}

module.exports = { compile };

if (require.main === module) process.exitCode = compile() ? 0 : 1;
