'use strict';

// How the addon's file is chosen: pure functions, tried for platforms other than this one, then the real
// file.

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { currentTarget, libcOfLoader, load, loaderOf, locate, targetName } = require('../../lib/shared/native.js');

describe('the native addon', () => {
  let folder;

  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-native-'));
  });

  afterEach(() => {
    fs.rmSync(folder, { recursive: true });
  });

  it('is named after platform, architecture and, on Linux, the C library', () => {
    assert.strictEqual(targetName('linux', 'x64', 'gnu'), 'linux-x64-gnu');
    assert.strictEqual(targetName('linux', 'arm64', 'musl'), 'linux-arm64-musl');
    assert.strictEqual(targetName('darwin', 'arm64'), 'darwin-arm64');
    assert.strictEqual(targetName('darwin', 'x64'), 'darwin-x64');
  });

  it('is refused on a platform that is not supported', () => {
    for (const name of ['win32-x64', 'linux-ia32', 'freebsd-x64', 'darwin-ia32']) {
      const [platform, arch] = name.split('-');
      const refused = { code: 'ERR_CLUSTER2_UNSUPPORTED_PLATFORM', message: new RegExp(name) };
      assert.throws(() => targetName(platform, arch, 'gnu'), refused);
    }
  });

  it('is taken from the package itself before the platform package is asked', () => {
    const built = path.join(folder, 'cluster2-rs.linux-x64-gnu.node');
    const published = (name) => `/modules/${name}`;
    assert.strictEqual(locate('linux-x64-gnu', folder, published), '/modules/cluster2-rs-linux-x64-gnu');
    fs.writeFileSync(built, '');
    assert.strictEqual(locate('linux-x64-gnu', folder, published), built);
  });

  it('says what to run when it is missing', () => {
    const missing = { code: 'ERR_CLUSTER2_NATIVE_MISSING', message: /linux-x64-gnu is missing.*npm run build/ };
    assert.throws(() => locate('linux-x64-gnu', folder), missing);
  });

  it('says that a bundler has to leave the package out, where it has put it into a bundle', () => {
    const part = (name) => {
      const text = fs.readFileSync(require.resolve(`../../lib/shared/${name}`), 'utf8');
      return `'./${name}': (module, require) => { ${text} }`;
    };
    const bundle = path.join(folder, 'bundle.js');
    fs.writeFileSync(bundle, `
      const parts = { ${part('errors')}, ${part('native')} };
      function load(name) {
        const module = {};
        parts[name](module, Object.assign((inner) => (parts[inner] ? load(inner) : require(inner)), require));
        return module.exports;
      }
      load('./native').load();`);
    const { status, stderr } = spawnSync(process.execPath, [bundle], { encoding: 'utf8' });
    assert.strictEqual(status, 1);
    assert.match(stderr, /A bundler has put cluster2-rs into .*bundle\.js.*--external:cluster2-rs.*ERR_CLUSTER2_NATIVE/s);
    assert.ok(!stderr.includes('install.js'), stderr);
  });

  it('matches the C library by the name of the dynamic loader', () => {
    assert.strictEqual(libcOfLoader('/lib/ld-musl-x86_64.so.1'), 'musl');
    assert.strictEqual(libcOfLoader('/lib64/ld-linux-x86-64.so.2'), 'gnu');
    assert.strictEqual(libcOfLoader('/nix/store/musl-free-name/lib/ld-linux-aarch64.so.1'), 'gnu');
    assert.strictEqual(libcOfLoader(''), undefined);
  });

  it('reads no loader from what is not a program', () => {
    assert.strictEqual(loaderOf(path.join(folder, 'absent')), undefined);
    assert.strictEqual(loaderOf(folder), undefined);
    assert.strictEqual(loaderOf(__filename), undefined);
    const damaged = path.join(folder, 'damaged');
    const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
    fs.writeFileSync(damaged, Buffer.concat([magic, Buffer.alloc(58, 0xff)]));
    assert.strictEqual(loaderOf(damaged), undefined);
  });

  // The name that this Node has for it, if any.
  const permission = ['--permission', '--experimental-permission']
    .find((flag) => process.allowedNodeEnvironmentFlags.has(flag));
  if (permission) {
    it('names the flags that it needs where Node runs with permissions', () => {
      const root = path.resolve(__dirname, '../..');
      const files = ['index.js', 'lib', 'package.json'].map((name) => `--allow-fs-read=${path.join(root, name)}`);
      for (const flags of [['--allow-fs-read=*'], [...files, '--allow-addons']]) {
        const all = [permission, ...flags, '-e', `require(${JSON.stringify(root)})`];
        const { status, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8' });
        assert.strictEqual(status, 1);
        assert.match(stderr, /may not be loaded.*--permission.*--allow-addons and --allow-fs-read.*ERR_CLUSTER2_PERMISS/s);
      }
    });
  }

  it('is loaded once', () => {
    assert.ok(fs.existsSync(locate(currentTarget(), path.resolve(__dirname, '../..'))));
    assert.strictEqual(load(), load());
  });
});
