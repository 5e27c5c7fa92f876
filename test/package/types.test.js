// The types name what there is: every option that has a default, every event that the README and the library know.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const Cluster = require('../..');
const { makeDirectory, PACKAGE } = require('../support');

const ROOT = path.join(__dirname, '..', '..');
const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

describe('index.d.ts', () => {
  // Names of an interface's own members.
  function members(name) {
    const [, body] = new RegExp(`^interface ${name} \\{\n(.*?)^\\}`, 'ms').exec(read('index.d.ts'));
    return [...body.matchAll(/^ {2}'?([\w-]+)'?\??:/gm)].map(([, member]) => member);
  }

  it('has every option, and no other', () => {
    const known = members('ClusterOptions');
    const byDefault = Object.keys(Cluster.defaultOptions);
    assert.deepEqual(byDefault.filter((option) => !known.includes(option)), []);
    // An unknown name is told as a warning, so that these are known to be known.
    const { parseOptions } = require('../../lib/shared/native').load();
    const parsed = (option) => parseOptions(JSON.parse(`{${JSON.stringify(option)}:null}`)).warnings;
    assert.deepEqual(known.filter((option) => parsed(option).length > 0), []);
    assert.notDeepEqual(parsed('noSuchOption'), []);
  });

  it('names no option that the README leaves out', () => {
    const [, table] = /^## Options\n(.*?)^## /ms.exec(read('README.md'));
    const rows = table.split('\n').filter((line) => line.startsWith('| `')).map((line) => line.split('|')[1]).join();
    assert.deepEqual(members('ClusterOptions').filter((option) => !rows.includes(`\`${option}\``)), []);
  });

  it('has every event that the README lists, or that this package emits', () => {
    const known = members('ClusterEvents');
    const [, table] = /^## Events\n(.*?)^## /ms.exec(read('README.md'));
    const listed = [...table.matchAll(/^\| ((?:`[\w-]+`(?:, )?)+) \|/gm)]
      .flatMap(([, names]) => names.split(', ').map((name) => name.slice(1, -1)));
    // What Node's own API emits has Node's types.
    const isOurs = (file) => file.endsWith('.js') && !file.startsWith('node-cluster/');
    const emitted = fs.readdirSync(path.join(ROOT, 'lib'), { recursive: true }).filter(isOurs)
      .flatMap((file) => [...read(`lib/${file}`).matchAll(/cluster\.emit\('([\w-]+)'/g)].map(([, name]) => name));
    assert.ok(listed.length > 8 && emitted.length > 8);
    const unknown = new Set([...listed, ...emitted].filter((name) => !known.includes(name)));
    assert.deepEqual([...unknown], []);
  });
});

describe('each export of the package', function () {
  this.timeout(120_000);
  const home = makeDirectory();
  after(() => fs.rmSync(home, { recursive: true, force: true }));

  const IMPORTS = `
    import Cluster, { Cluster2Error, type ClusterOptions } from 'cluster2-rs';
    import cluster from 'cluster2-rs/cluster';
    import 'cluster2-rs/register';
    const options: ClusterOptions = { noWorkers: cluster.isPrimary ? 2 : 1 };
    new Cluster(options).on('error', (error) => error instanceof Cluster2Error).listen((callback) => callback([]));
  `;
  const REQUIRES = `
    import Cluster = require('cluster2-rs');
    import cluster = require('cluster2-rs/cluster');
    import register = require('cluster2-rs/register');
    const options: Cluster.ClusterOptions = { noWorkers: cluster.isPrimary ? 2 : 1 };
    new Cluster(options).on('error', (error) => error instanceof Cluster.Cluster2Error).listen((cb) => cb([]));
    const defaults: Cluster.DefaultOptions = ${JSON.stringify(Cluster.defaultOptions)};
    console.log(defaults);
    export = register;
  `;
  const KINDS = {
    nodenext: { 'app.mts': IMPORTS, 'app.cts': REQUIRES },
    commonjs: { 'imports.ts': IMPORTS, 'requires.ts': REQUIRES },
  };
  for (const [module, files] of Object.entries(KINDS)) {
    it(`has strict types for programs whose modules are of the kind ${module}`, () => {
      const project = path.join(home, module);
      fs.mkdirSync(path.join(project, 'node_modules'), { recursive: true });
      fs.symlinkSync(PACKAGE, path.join(project, 'node_modules', 'cluster2-rs'));
      for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(project, file), text);
      fs.writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify({
        compilerOptions: {
          module, target: 'es2022', strict: true, skipLibCheck: false, noEmit: true, esModuleInterop: true,
          types: [], typeRoots: [path.join(ROOT, 'node_modules/@types')],
        },
      }));
      const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
      const { status, stdout } = spawnSync(process.execPath, [tsc, '--project', project], { encoding: 'utf8' });
      assert.equal(status, 0, stdout);
    });
  }
});
