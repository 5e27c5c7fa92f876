// The package as users get it: packed, installed into an empty project, with a compiler and without.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { addonFile } = require('../../lib/shared/native');
const { makeDirectory } = require('../support');
const { packed, whyNotPacked, fakePrograms, TARGET } = require('../support/packed');

const MEGABYTE = 1_000_000;
const INSTALL = 'scripts/install.js';

describe('the published package', function () {
  this.timeout(180_000);
  let published;
  before(async function () {
    const reason = whyNotPacked();
    if (reason !== undefined) {
      this.test.parent.title += ` (${reason})`;
      this.skip();
    }
    published = await packed();
  });

  const inProject = (...args) => spawnSync(process.execPath, args, { cwd: published.project, encoding: 'utf8' });

  it('needs no compiler where the package of the platform is there: npm install cluster2@npm:cluster2-rs', () => {
    const { status, stdout, stderr } = inProject('-p', "require('cluster2').version");
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${published.main.version}\n`, stderr: '' });
    assert.equal(published.log, '');
    assert.deepEqual(published.fetched.sort(), ['cluster2-rs', `cluster2-rs-${TARGET}`]);
    const { dependencies } = JSON.parse(fs.readFileSync(path.join(published.project, 'package.json'), 'utf8'));
    assert.deepEqual(dependencies, { cluster2: `npm:cluster2-rs@^${published.main.version}` });
  });

  it('brings the command, as cluster2 and by the name of the package', () => {
    for (const name of ['cluster2', 'cluster2-rs']) {
      const bin = path.join(published.project, 'node_modules/.bin', name);
      assert.match(fs.readFileSync(bin, 'utf8'), /^#!\/usr\/bin\/env node\n/);
      assert.equal(inProject(bin, '--version').stdout, `${published.main.version}\n`);
    }
  });

  it('puts its own `cluster` in the place of Node\'s', () => {
    const look = 'console.log(require("node:cluster") === require("cluster2/cluster"))';
    assert.equal(inProject('--require', 'cluster2/register', '-e', look).stdout, 'true\n');
  });

  it('has less than 1 MB unpacked, and what it needs', () => {
    assert.ok(published.main.unpackedSize < MEGABYTE, `${published.main.unpackedSize} bytes`);
    const names = published.main.files.map(({ path: name }) => name);
    const wanted = ['index.js', 'index.d.ts', 'cluster.js', 'cluster.d.ts', 'register.js', 'register.d.ts',
      'bin/cluster2.js', INSTALL, 'sources.json.br', 'LICENSE'];
    for (const name of wanted) {
      assert.ok(names.includes(name), name);
    }
    assert.deepEqual(names.filter((name) => /^(test|src|node_modules|target)\/|\.node$/.test(name)), []);
  });

  it('has every file that its pages link to', () => {
    const names = published.main.files.map(({ path: name }) => name);
    const links = names.filter((name) => name.endsWith('.md')).flatMap((page) => {
      const text = fs.readFileSync(path.join(published.stage, page), 'utf8').replace(/^```.*?^```/gms, '');
      return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => ({ page, link }));
    });
    assert.ok(links.length > 50);
    const isDead = ({ page, link }) => {
      const [file] = link.split('#');
      if (/^[a-z]+:/.test(link) || file === '') return false;
      const target = path.posix.join(path.posix.dirname(page), file);
      return !names.some((name) => name === target || name.startsWith(`${target.replace(/\/$/, '')}/`));
    };
    assert.deepEqual(links.filter(isDead), []);
  });

  it('has less than 6 MB in the package of a platform', function () {
    const addon = fs.readFileSync(addonFile());
    // A build for debugging, which nobody publishes, is ten times as large; its table of sections says what it is.
    if (addon.includes('\0.debug_info\0')) this.skip();
    assert.ok(published.platform.unpackedSize < 6 * MEGABYTE, `${published.platform.unpackedSize} bytes`);
    assert.deepEqual(published.platform.files.map(({ path: name }) => name).sort(),
      ['README.md', `cluster2-rs.${TARGET}.node`, 'package.json']);
  });

  describe('where the package of the platform is missing', () => {
    let home;
    before(() => {
      home = makeDirectory();
    });
    after(() => fs.rmSync(home, { recursive: true, force: true }));

    // The unpacked package in a place of its own, as npm has left it when it runs the script.
    function install(programs, env = {}, lost = 'npm') {
      const place = fs.mkdtempSync(path.join(home, 'node_modules-'));
      const folder = path.join(place, 'cluster2-rs');
      const isKept = (name) => !['npm', lost].includes(path.basename(name));
      fs.cpSync(published.stage, folder, { recursive: true, filter: isKept });
      const { PATH } = fakePrograms(path.join(place, 'fakes'), programs);
      const tools = { PATH, CARGO_HOME: path.join(place, 'none'), HOME: place, TMPDIR: place, ...env };
      const result = spawnSync(process.execPath, [path.join(folder, INSTALL)], { env: tools, encoding: 'utf8' });
      const left = fs.readdirSync(place).filter((name) => !['cluster2-rs', 'fakes', 'asked'].includes(name));
      assert.deepEqual(left, []);
      return { ...result, place, folder };
    }

    const RUST = "echo 'rustc 1.99.0 (a fake)'";
    const missing = `There is no addon for ${TARGET}: the package cluster2-rs-${TARGET} was not installed.`;

    for (const [what, programs, says] of [
      ['cargo', {}, 'but cargo was not found: install Rust 1.88 or later (https://rustup.rs).'],
      ['rustc', { cargo: 'exit 9' }, 'but rustc was not found: install Rust 1.88 or later'],
      ['a rustc that is new enough', { cargo: 'exit 9', rustc: "echo 'rustc 1.87.3 (a fake)'" }, 'but rustc is 1.87:'],
      ['a C linker', { cargo: 'exit 9', rustc: RUST }, 'but the C linker `cc` was not found: install one'],
    ]) {
      it(`says exactly what is missing and fails: ${what}`, () => {
        const { status, stderr, folder } = install(programs);
        assert.equal(status, 1);
        assert.ok(stderr.startsWith(`cluster2-rs: ${missing} It could be built here, ${says}`), stderr);
        assert.ok(stderr.endsWith(`or run \`node ${path.join(folder, INSTALL)}\`.\n`), stderr);
      });
    }

    // A compiler takes minutes: this one gives what it was given, and tells what it was asked.
    const artifact = { reason: 'compiler-artifact', target: { name: 'cluster2', kind: ['cdylib'] } };
    const COMPILERS = {
      cc: 'exit 9',
      rustc: RUST,
      cargo: `read first < src/lib.rs
        echo "$@: $first" > "$HOME/asked"
        /bin/cp ${addonFile()} made.so
        echo '${JSON.stringify({ ...artifact, filenames: ['MADE'] })}' | /bin/sed "s,MADE,$PWD/made.so,"`,
    };

    it('builds the addon with cargo, from the sources that it brings, and then loads it', () => {
      const { status, stdout, stderr, place, folder } = install(COMPILERS);
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
      assert.ok(stdout.startsWith(`cluster2-rs: ${missing} It is built with cargo now`), stdout);
      assert.match(fs.readFileSync(path.join(place, 'asked'), 'utf8'), /^build --release --lib --locked .*: \/\/! /);
      assert.deepEqual(fs.readdirSync(folder).filter((name) => name.endsWith('.node')), [`cluster2-rs.${TARGET}.node`]);
      const loads = spawnSync(process.execPath, ['-p', `typeof require('${folder}')`], { encoding: 'utf8' });
      assert.equal(loads.stdout, 'function\n');
    });

    it('says that its sources are missing, where it was packed without them', () => {
      const { status, stderr } = install(COMPILERS, {}, 'sources.json.br');
      assert.equal(status, 1);
      const says = "It can't be built here: the package was packed without its Rust sources";
      assert.ok(stderr.startsWith(`cluster2-rs: ${missing} ${says}`), stderr);
    });

    it('says how cargo ended when the build fails', () => {
      const { status, stderr } = install({ ...COMPILERS, cargo: 'echo no route to the crates >&2; exit 101' });
      assert.equal(status, 1);
      const says = 'cluster2-rs: The addon could not be built (cargo: status 101).\n';
      assert.equal(stderr, `no route to the crates\n${says}`);
    });

    it('builds in the place of an addon that does not load', () => {
      const { place, folder } = install(COMPILERS);
      fs.writeFileSync(path.join(folder, `cluster2-rs.${TARGET}.node`), 'for another system');
      const tools = { PATH: path.join(place, 'fakes'), HOME: place, TMPDIR: place };
      const again = spawnSync(process.execPath, [path.join(folder, INSTALL)], { env: tools, encoding: 'utf8' });
      assert.equal(again.status, 0, again.stderr);
      assert.match(again.stdout, /^cluster2-rs: The addon .* does not load here \(.*\)\. It is built with cargo now/);
    });

    it('builds nothing for a machine that is not this one', () => {
      const { status, stdout, stderr } = install({}, { npm_config_cpu: 's390x' });
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
    });

    it('says at the first require what to do, where scripts are not run at installation', () => {
      const folder = path.join(home, 'unbuilt');
      fs.cpSync(published.stage, folder, { recursive: true, filter: (name) => path.basename(name) !== 'npm' });
      const { status, stderr } = spawnSync(process.execPath, ['-e', `require('${folder}')`], { encoding: 'utf8' });
      assert.equal(status, 1);
      assert.ok(stderr.includes(`or build it with cargo: \`node ${path.join(folder, INSTALL)}\``), stderr);
      assert.match(stderr, /ERR_CLUSTER2_NATIVE_MISSING/);
    });
  });
});

describe('a checkout', () => {
  it('builds nothing when npm installs its dependencies', () => {
    const home = makeDirectory();
    const asked = path.join(home, 'asked');
    const { PATH } = fakePrograms(path.join(home, 'fakes'), { cargo: `echo "$@" > ${asked}; exit 9` });
    const script = path.join(__dirname, '../..', INSTALL);
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { env: { PATH }, encoding: 'utf8' });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
    assert.ok(!fs.existsSync(asked));
    fs.rmSync(home, { recursive: true, force: true });
  });
});
