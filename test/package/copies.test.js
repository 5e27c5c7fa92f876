// The package loaded more than once in one process: two copies in `node_modules`, or an emptied module cache.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const { addonFile } = require('../../lib/shared/native');
const { eventually, PACKAGE, reap, start } = require('../support');
const { directoryOf, removeDirectories, startScript } = require('../support/script');

const SERVE = `
  c.cleanup(() => console.log('cleaned up'));
  c.on('died', (pid, facts) => console.log(JSON.stringify({ event: 'died', ...facts })));
  c.on('listening', () => console.log('{"event":"listening"}'));
  c.listen((callback) => callback(require('node:http').createServer()));`;
const MAKE = `const c = new Cluster({ host: '127.0.0.1', port: 0, monPort: false, noWorkers: 1 }); ${SERVE}`;

// A directory with a copy of the package in `copy`, said to be of another version or not, and this script.
function directoryWithCopy(script, version) {
  const directory = directoryOf({ 'app.js': script });
  for (const name of ['index.js', 'lib', 'package.json']) {
    fs.cpSync(path.join(PACKAGE, name), path.join(directory, 'copy', name), { recursive: true });
  }
  fs.symlinkSync(addonFile(), path.join(directory, 'copy', path.basename(addonFile())));
  if (version !== undefined) {
    const manifest = { ...require(path.join(PACKAGE, 'package.json')), version };
    fs.writeFileSync(path.join(directory, 'copy/package.json'), JSON.stringify(manifest));
  }
  return directory;
}

function startIn(cwd) {
  return start(path.join(cwd, 'app.js'), { cwd });
}

describe('a worker that loads the package twice', function () {
  this.timeout(30000);
  afterEach(reap);
  after(removeDirectories);

  const first = `require(${JSON.stringify(PACKAGE)});`;
  for (const [how, script] of [
    ['from two copies', `${first} const Cluster = require('./copy');`],
    ['after its module cache was emptied',
      `${first} for (const name of Object.keys(require.cache)) delete require.cache[name]; const Cluster = ${first}`],
  ]) {
    it(`(${how}) obeys the master all the same, and has one set of classes`, async () => {
      const cwd = directoryWithCopy(`const A = ${script} console.log('same', A === Cluster); ${MAKE}`);
      const program = startIn(cwd);
      await program.line('listening');
      program.kill();
      const { code, signal, reason } = await program.line('died');
      assert.deepEqual([code, signal], [0, null], reason);
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.equal(program.stderr, '');
      assert.equal(program.seen(/^cleaned up$/).length, 2);
      assert.equal(program.seen(/^same true$/).length, 1);
    });
  }

  it('(as a guest, from another copy than the command) obeys the master all the same', async () => {
    const script = `const Cluster = require(['.', 'copy'].join('/')); ${MAKE}`;
    const program = startScript(directoryWithCopy(script), ['--json', '--workers', '1', 'app.js']);
    await program.line('ready');
    program.kill();
    await program.exit();
    assert.match(program.stderr, /CLUSTER2_GUEST_CLUSTER/);
    assert.equal(program.seen(/^cleaned up$/).length, 1);
  });

  it('(of two versions) is told where both are when the second makes a Cluster', async () => {
    const cwd = directoryWithCopy(`${first} const Cluster = require('./copy'); ${MAKE}`, '99.0.0');
    const program = startIn(cwd);
    await eventually(() => /ERR_CLUSTER2_OTHER_VERSION/.test(program.stderr));
    for (const folder of [PACKAGE, path.join(cwd, 'copy')]) assert.ok(program.stderr.includes(folder), folder);
    assert.match(program.stderr, /99\.0\.0/);
  });
});
