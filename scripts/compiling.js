'use strict';

// The cluster that scripts/compile.js runs: one worker, which serves one request. Master and worker compile the modules
// of `lib/` by themselves, and leave sources and bytecode in the directory that is the argument before they drain, for
// what they need then is in no hurry.

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');
const Module = require('node:module');
const path = require('node:path');
const vm = require('node:vm');

const LIB = path.resolve(__dirname, '../lib');
// What loads the others is loaded in the usual way.
const LOADER = path.join(LIB, 'compiled.js');
// Long enough for what a worker does once it has served its first clients.
const SETTLE_MS = 150;

const place = process.argv[2];
const role = cluster.isPrimary ? 'master' : 'worker';

/** A cluster that serves one request and ends; `done` is called in each process before it does that. */
function serve(done) {
  const Cluster = require('..');
  const port = path.join(place, 'socket');
  const c = new Cluster({ port, monPort: false, noWorkers: 1, pids: path.join(place, 'pids'), logs: place });
  c.listen((callback) => callback(http.createServer((request, response) => response.end('compiled'))));
  c.once('draining', done);
  if (role === 'worker') return;
  c.once('listening', () => {
    http.get({ socketPath: port }, (response) => {
      response.resume().on('end', () => setTimeout(() => {
        done();
        c.shutdown();
      }, SETTLE_MS));
    });
  });
}

/** Compiles the modules of `lib/` in this process by itself; gives what leaves them in `place`. */
function keep() {
  const kept = [];
  const compileOne = Module.prototype._compile;
  Module.prototype._compile = function compileAndKeep(content, filename, ...rest) {
    const source = Module.wrap(content);
    // One byte for each character is what lib/compiled.js reads.
    const isPlain = Buffer.byteLength(source) === source.length;
    const isKept = path.dirname(filename) === LIB && filename !== LOADER && isPlain;
    if (!isKept) return compileOne.call(this, content, filename, ...rest);
    const script = new vm.Script(source, { filename });
    kept.push({ script, source, filename });
    const require = Module.createRequire(filename);
    return script.runInThisContext()(this.exports, require, this, filename, LIB);
  };
  return () => {
    const { compiledFile } = require('../lib/compiled');
    const parts = kept.map(({ script, source, filename }) => {
      const { size, mtimeMs } = fs.statSync(filename);
      const code = script.createCachedData();
      const entry = { name: path.basename(filename, '.js'), size, mtimeMs, source: source.length, code: code.length };
      return { entry, bytes: [Buffer.from(source, 'latin1'), code] };
    });
    const head = Buffer.from(`${JSON.stringify(parts.map(({ entry }) => entry))}\n`);
    fs.writeFileSync(compiledFile(role, place), Buffer.concat([head, ...parts.flatMap(({ bytes }) => bytes)]));
  };
}

serve(keep());
