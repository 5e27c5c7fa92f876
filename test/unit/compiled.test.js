'use strict';

// The modules that V8 compiled at installation: used where they fit, and never needed.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { addonFile } = require('../../lib/native');

const ROOT = path.resolve(__dirname, '../..');
// Says whether the class came from what was compiled, and that there is one of each module.
const LOOK = `
const { load } = require('./lib/compiled');
const Cluster = require('.');
const { Cluster2Error } = require('./lib/errors');
let usual = 0;
const isOne = load('cluster', () => { usual += 1; }) === Cluster && Cluster.Cluster2Error === Cluster2Error;
const children = require.cache[require.resolve('./index.js')].children.map(({ filename }) => filename);
console.log(JSON.stringify({ isOne, usual, isUsual: children.includes(require.resolve('./lib/cluster')) }));
`;

describe('compiled modules', () => {
  let folder;

  beforeEach(function () {
    this.timeout(30_000);
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-compiled-'));
    for (const name of ['lib', 'scripts', 'index.js', 'package.json']) {
      fs.cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
    }
    fs.copyFileSync(addonFile(), path.join(folder, path.basename(addonFile())));
    assert.equal(spawnSync(process.execPath, ['scripts/compile.js'], { cwd: folder }).status, 0);
  });

  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  const look = () => {
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', LOOK], { cwd: folder, encoding: 'utf8' });
    assert.equal(stderr, '');
    return JSON.parse(stdout);
  };
  const compiled = () => {
    const names = fs.readdirSync(path.join(folder, 'compiled')).sort();
    return names.map((name) => path.join(folder, 'compiled', name));
  };

  it('are there for the master and for workers, and are used', () => {
    assert.deepEqual(compiled().map((file) => path.extname(file)), ['.master', '.worker']);
    assert.deepEqual(look(), { isOne: true, usual: 0, isUsual: false });
  });

  it('give way to a file that has changed', () => {
    fs.appendFileSync(path.join(folder, 'lib/cluster.js'), '\n');
    assert.deepEqual(look(), { isOne: true, usual: 0, isUsual: true });
  });

  it('are not missed where they are damaged or missing', () => {
    for (const file of compiled()) fs.truncateSync(file, 1000);
    assert.equal(look().isUsual, true);
    for (const file of compiled()) fs.rmSync(file);
    assert.equal(look().isUsual, true);
  });

  it('are compiled once', () => {
    const [file] = compiled();
    const { mtimeMs } = fs.statSync(file);
    assert.equal(spawnSync(process.execPath, ['scripts/compile.js'], { cwd: folder }).status, 0);
    assert.equal(fs.statSync(file).mtimeMs, mtimeMs);
  });
});
