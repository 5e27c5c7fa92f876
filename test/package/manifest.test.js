'use strict';

// What the files that describe the package must agree on, so that nobody has to remember it at a release.

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { SUPPORTED } = require('../../lib/shared/native.js');
const { allTests } = require('../../scripts/mocha.js');
const { VERSIONS } = require('../../scripts/nodes.js');

const ROOT = path.resolve(__dirname, '../..');
const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

describe('the package', () => {
  const described = JSON.parse(read('package.json'));
  const locked = JSON.parse(read('package-lock.json'));

  it('has one version, in npm and in cargo', () => {
    assert.strictEqual(read('Cargo.toml').match(/^version = "(.*)"$/m)[1], described.version);
    assert.strictEqual(locked.packages[''].version, described.version);
  });

  it('brings no dependency at run time', () => {
    assert.deepStrictEqual(Object.keys(described.dependencies ?? {}), []);
  });

  // What that one script does, and when it does nothing, test/package/published.test.js tries.
  it('runs one script of its own when it is installed, and packs what that needs', () => {
    const hooks = ['preinstall', 'install', 'postinstall', 'prepublish'];
    assert.deepStrictEqual(hooks.filter((name) => name in described.scripts), ['install']);
    assert.strictEqual(described.scripts.install, 'node scripts/install.js');
    for (const file of ['scripts/install.js', 'scripts/cargo.js', 'sources.json.br']) {
      assert.ok(described.files.includes(file), file);
    }
  });

  it('names each platform that it is built for in the same way everywhere', () => {
    const workflow = read('.github/workflows/build.yml');
    const { targets } = described.napi;
    assert.deepStrictEqual(workflow.match(/target: [\w-]+/g).map((line) => line.slice(8)).sort(), [...targets].sort());
    assert.strictEqual(targets.length, SUPPORTED.length);
  });

  it('names no registry in its lock file', () => {
    const resolved = Object.keys(locked.packages).filter((name) => 'resolved' in locked.packages[name]);
    assert.deepStrictEqual(resolved, []);
  });

  it('names every dependency in its lock file, those for other platforms too', () => {
    const missing = Object.entries(locked.packages).flatMap(([place, { dependencies, optionalDependencies }]) => {
      const names = Object.keys({ ...dependencies, ...optionalDependencies });
      return names.filter((name) => !isLocked(place, name)).map((name) => `${place}: ${name}`);
    });
    assert.deepStrictEqual(missing, []);
  });

  it('is tried on every Node that it says it supports', () => {
    const [, oldest] = described.engines.node.match(/^>=(\d+)\.\d+$/);
    assert.strictEqual(Number.parseInt(VERSIONS[0]), Number(oldest));
  });

  it('has a row of test/README.md for every test file, and none for another', () => {
    const listed = [...read('test/README.md').matchAll(/^\|.* \| `([\w-]+\/[\w-]+)` \|$/gm)].map(([, name]) => name);
    const files = allTests().map((file) => file.replace(/^test\/(.*)\.test\.js$/, '$1'));
    assert.deepStrictEqual(listed.sort(), files.sort());
  });

  it('says what it needs in an older Node, in Bun and in Deno, before it meets what these do not have', () => {
    const [, oldest] = described.engines.node.match(/^>=(.*)$/);
    const [major, minor] = oldest.split('.').map(Number);
    const entries = [...Object.values(described.exports).map((entry) => entry.default).filter(Boolean),
      ...Object.values(described.bin)];
    assert.ok(entries.length >= 4);
    for (const entry of new Set(entries)) {
      for (const [versions, name] of [
        [{ node: `${major}.${minor - 1}.9` }], [{ node: `${major - 1}.99.0` }],
        [{ bun: '1.3.0' }, 'Bun 1.3.0'], [{ deno: '2.5.0' }, 'Deno 2.5.0'],
      ]) {
        const code = `
          const versions = { ...process.versions, ...${JSON.stringify(versions)} };
          Object.defineProperty(process, 'versions', { value: versions });
          require(${JSON.stringify(path.join(ROOT, entry))});`;
        const { status, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' });
        assert.strictEqual(status, 1);
        const message = `cluster2-rs needs Node ${oldest} or later, and this is ${name ?? versions.node}`;
        assert.ok(stderr.includes(message), `${entry}: ${stderr}`);
        assert.match(stderr, /ERR_CLUSTER2_UNSUPPORTED_NODE/);
      }
    }
  });

  /** Looks for a package as Node does: beside the one that needs it, then further and further up. */
  function isLocked(place, name) {
    if (`${place}/node_modules/${name}`.replace(/^\//, '') in locked.packages) return true;
    if (place === '') return false;
    return isLocked(place.slice(0, Math.max(0, place.lastIndexOf('node_modules/') - 1)), name);
  }
});
