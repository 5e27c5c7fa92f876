// /deps on the monitor's port: what is installed, read by the monitor itself.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { freePort, ready, reap, request, start } = require('../support');

const ROOT = path.join(__dirname, '../..');

describe('/deps', function () {
  this.timeout(60000);
  afterEach(reap);

  async function startApp({ cwd, ...options } = {}) {
    const monPort = await freePort();
    const program = start('monitor', { options: { monPort, monHost: '127.0.0.1', noWorkers: 1, ...options }, cwd });
    if (options.cluster === false) await program.line('addresses');
    else await ready(program, 1);
    const ask = (accept) => request(monPort, { path: '/deps', headers: accept ? { accept } : {} });
    return Object.assign(program, { monPort, ask, json: async () => JSON.parse((await ask()).body) });
  }

  /** Writes `package.json` files: `{folder: manifest}`. */
  function install(cwd, modules) {
    for (const [folder, manifest] of Object.entries(modules)) {
      fs.mkdirSync(path.join(cwd, folder), { recursive: true });
      const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
      fs.writeFileSync(path.join(cwd, folder, 'package.json'), text);
    }
  }

  it('tells the modules in the shape of npm ls, and as a page', async () => {
    const program = await startApp();
    const { cwd } = program;
    install(cwd, {
      '.': {
        name: 'shop', version: '1.2.3', dependencies: { a: '^1.0.0', gone: '^9.0.0' }, devDependencies: { tool: '1' },
      },
      'node_modules/a': {
        name: 'a', version: '1.0.1', dependencies: { b: '2', c: '3', '../../../secret': '1' },
      },
      'node_modules/b': {
        name: 'b', version: '2.0.0', dependencies: { a: '1' }, optionalDependencies: { absent: '*' },
      },
      'node_modules/a/node_modules/c': { name: 'c', version: '3.0.0' },
      'node_modules/@scope/extra': { name: '@scope/extra', version: '<script>alert(1)</script>' },
      'node_modules/broken': '{ "name": "broken", ',
      'node_modules/.bin': { name: 'hidden', version: '0' },
      secret: { name: 'secret', version: '6.6.6' },
      'linked-away': { name: 'linked', version: '4.0.0', peerDependencies: { a: '1', optional: '1' },
        peerDependenciesMeta: { optional: { optional: true } } },
    });
    fs.symlinkSync('../linked-away', path.join(cwd, 'node_modules/linked'));
    const { status, headers, body } = await program.ask();
    assert.deepEqual([status, headers['content-type']], [200, 'application/json']);
    const all = JSON.parse(body);
    const real = fs.realpathSync(cwd);
    const { dependencies, ...shop } = all;
    assert.deepEqual(shop, { name: 'shop', version: '1.2.3', path: real, realPath: real, depth: 0 });
    assert.deepEqual(Object.keys(dependencies), ['@scope/extra', 'a', 'broken', 'gone', 'linked']);
    const { a, linked } = dependencies;
    assert.deepEqual([a.name, a.version, a.path, a.depth], ['a', '1.0.1', path.join(real, 'node_modules/a'), 1]);
    assert.equal(a.required, '^1.0.0');
    assert.deepEqual(Object.keys(a.dependencies), ['b', 'c']);
    const { b, c } = a.dependencies;
    assert.deepEqual([b.version, b.depth, b.path], ['2.0.0', 2, path.join(real, 'node_modules/b')]);
    assert.deepEqual(b.dependencies, { a: { version: '1.0.1', deduped: true, required: '1' } });
    assert.equal(c.path, path.join(real, 'node_modules/a/node_modules/c'));
    assert.deepEqual(dependencies.gone, { missing: true, required: '^9.0.0' });
    assert.deepEqual([linked.version, linked.extraneous], ['4.0.0', true]);
    assert.equal(linked.realPath, path.join(real, 'linked-away'));
    assert.deepEqual(Object.keys(linked.dependencies), ['a']);
    assert.deepEqual([dependencies.broken.version, dependencies.broken.extraneous], [undefined, true]);
    assert.doesNotMatch(body, /6\.6\.6|hidden/);

    const page = await program.ask('text/html,*/*;q=0.8');
    assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8']);
    assert.match(page.headers['content-security-policy'], /^default-src 'none'; style-src 'nonce-\w+'/);
    assert.match(page.body, /shop 1\.2\.3/);
    assert.match(page.body, /&lt;script&gt;/);
    assert.doesNotMatch(page.body, /<script|https?:/);
    assert.match(page.body, /gone<\/th><td>\^9\.0\.0 <span class="poor">missing/);
  });

  it('tells of no modules where there are none', async () => {
    const program = await startApp({ port: await freePort(), cluster: false });
    const real = fs.realpathSync(program.cwd);
    assert.deepEqual(await program.json(), { path: real, realPath: real, depth: 0, dependencies: {} });
    assert.equal((await request(program.monPort, { path: '/deps', method: 'POST' })).status, 405);
  });

  it('finds all that npm has installed here, and holds up nothing meanwhile', async () => {
    const away = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'c2-deps-'));
    try {
      const program = await startApp({ cwd: ROOT, pids: path.join(away, 'pids'), logs: path.join(away, 'logs') });
      const many = Array.from({ length: 20 }, () => program.json());
      assert.equal((await request(program.monPort, { path: '/live' })).status, 200);
      const [all, ...others] = await Promise.all(many);
      for (const other of others) assert.deepEqual(other, all);
      const found = new Map();
      collect(all, found);
      const { packages } = require(path.join(ROOT, 'package-lock.json'));
      const isInstalled = (place) => fs.existsSync(path.join(ROOT, place, 'package.json'));
      const places = Object.keys(packages).filter((place) => place !== '' && isInstalled(place));
      assert.ok(places.length > 50);
      for (const place of places) assert.equal(found.get(path.join(ROOT, place)), packages[place].version, place);
      assert.equal(found.get(ROOT), packages[''].version);
    } finally {
      await reap();
      fs.rmSync(away, { recursive: true, force: true });
    }
  });
});

function collect(module, found) {
  if (module.path) found.set(module.path, module.version);
  for (const dependency of Object.values(module.dependencies ?? {})) collect(dependency, found);
}
