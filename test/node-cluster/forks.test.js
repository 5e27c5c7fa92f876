// `cluster2-rs/cluster` and `cluster2-rs/register`: programs that fork for themselves. Whatever can be compared is
// compared with Node's own cluster.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');

const { PACKAGE, eventually, isAlive, reap, start } = require('../support');

const REGISTER = path.join(PACKAGE, 'register.js');
const OURS = {
  'cluster2-rs/cluster': {},
  'cluster2-rs/register': { env: { API: 'node' }, execArgv: ['--require', REGISTER] },
};

const play = (scene, { env, ...options } = {}) => start('forks-itself', { args: [scene], env: { ...env }, ...options });
const byNode = (scene) => play(scene, { env: { API: 'node' } });

/** Everything that a program reports until its end, and how it ends. */
async function story(program) {
  const end = await program.exit();
  await program.gone();
  return { end, events: program.seen(({ event }) => event).map(({ event, args }) => [event, ...args]) };
}

for (const [name, how] of Object.entries(OURS)) {
  describe(`a program that forks for itself (${name})`, function () {
    this.timeout(30000);
    afterEach(reap);

    it('hears the events of Node, in its order', async () => {
      const [ours, theirs] = await Promise.all([story(play('events', how)), story(byNode('events'))]);
      // An exit and the end of the channel come in either order.
      const parted = ({ events }) => events.filter(([event]) => !/disconnect|exit|close/.test(event));
      const ends = ({ events }) => events.filter(([event]) => /disconnect|exit|close/.test(event)).sort();
      assert.deepEqual(parted(ours), parted(theirs));
      assert.deepEqual(ends(ours), ends(theirs));
      assert.deepEqual(ours.end, { code: 0, signal: null });
    });

    it('gives its workers arguments, flags, environment and output as it says', async () => {
      const program = play('settings', how);
      const { args: [facts] } = await program.line('facts');
      assert.deepEqual(facts, { args: ['one', 'two'], flag: '--no-warnings', number: '1', names: [] });
      assert.deepEqual((await program.line('stdout')).args, ['said\n']);
      assert.equal((await program.exit()).code, 0);
    });

    it('keeps its loop alive as long as Node would, and replaces nothing', async () => {
      const { end, events } = await story(play('nothing is replaced', how));
      assert.deepEqual(end, { code: 0, signal: null });
      assert.deepEqual(events.filter(([event]) => event === 'fork').map(([, id]) => id), [1, 2, 3]);
      assert.equal(events.filter(([event]) => event === 'exit').length, 3);
      assert.deepEqual(events.at(-1), ['primary exits']);
    });
  });
}

describe('a program that forks by `cluster2-rs/cluster`', function () {
  this.timeout(30000);
  afterEach(reap);

  it('has streams for the pipes of a worker, a fifth one included', async () => {
    const program = play('stdio');
    assert.deepEqual((await program.line('stdio')).args, [[true, false, true, false, true], null]);
    assert.deepEqual((await program.line('stderr')).args, ['read: written to stdin']);
    assert.deepEqual((await program.line('extra')).args, ['read: written to the extra pipe']);
    assert.deepEqual((await program.line('close')).args, [0, null]);
    assert.equal((await program.exit()).code, 0);
  });

  it('may speak in V8\'s serialization, with handles, and serve', async () => {
    const program = play('advanced');
    const { args } = await program.line('echo');
    assert.deepEqual(args, [['a'], 'bytes', String(2n ** 70n), true, true]);
    assert.deepEqual((await program.line('answered')).args, [200]);
    assert.equal((await program.exit()).code, 0);
  });

  it('hears that a worker listens before what that worker says afterwards', async () => {
    const scene = 'says something at once';
    for (const { events } of await Promise.all([story(play(scene)), story(byNode(scene))])) {
      for (let id = 1; id <= 8; id += 1) {
        const its = events.filter(([, worker]) => worker === id).map(([event]) => event);
        assert.deepEqual(its, ['online', 'started', 'listening', 'serving']);
      }
    }
  });

  it('is told of what can\'t be forked as Node tells it', async () => {
    const [ours, theirs] = await Promise.all([story(play('failures')), story(byNode('failures'))]);
    assert.deepEqual(ours.events, theirs.events);
    assert.deepEqual(ours.events.at(-1), ['left', []]);
  });

  for (const serialization of ['json', 'advanced']) {
    it(`is asked after the connections that a worker gave away, in ${serialization}`, async () => {
      const env = { SERIALIZATION: serialization };
      const [ours, theirs] = await Promise.all([
        story(play('gives connections away', { env })),
        story(play('gives connections away', { env: { ...env, API: 'node' } })),
      ]);
      assert.deepEqual(ours.events, [['given', true], ['counted', false], ['closed', false]]);
      assert.deepEqual(ours, theirs);
    });
  }

  it('ends before a worker that it does not wait for, which then ends too', async () => {
    const program = play('unref');
    await program.line('primary exits');
    assert.equal((await program.exit()).code, 0);
    assert.deepEqual((await program.line('worker exits')).args, [0]);
    await program.gone();
  });

  it('may end before a worker that has disconnected and still has something to do', async () => {
    const program = play('after its primary');
    assert.equal((await program.exit()).code, 0);
    await eventually(() => program.stdout.includes('"done"'), { what: 'the worker to be done' });
    await program.gone();
  });

  it('has a worker leave the list at once, and calls back when all have left', async () => {
    const program = play('list');
    assert.deepEqual((await program.line('left')).args, [['2'], true, true]);
    assert.deepEqual((await program.line('called back')).args, [[], false]);
    assert.equal((await program.exit()).code, 0);
  });

  it('gives each worker an inspector port of its own', async () => {
    const program = play('inspect');
    assert.deepEqual((await program.line('ports')).args, [['--inspect-port=0', '--inspect-port=0'], true]);
  });

  it('has workers of the kinds that libraries ask for', async () => {
    const program = play('constructor');
    assert.deepEqual((await program.line('kinds')).args, [true, 7, true, true]);
    assert.equal((await program.exit()).code, 0);
  });
});

describe('`cluster2-rs/register`', function () {
  this.timeout(30000);
  afterEach(reap);

  for (const [title, how] of Object.entries({
    'as a flag': { execArgv: ['--require', REGISTER] },
    'in NODE_OPTIONS': { env: { NODE_OPTIONS: `--require ${REGISTER}` } },
  })) {
    it(`is in the place of Node's cluster for ES modules too, ${title}`, async () => {
      const program = start('imports-cluster.mjs', how);
      assert.deepEqual((await program.line('imported')).args, [true, true, 'ForkedProcess']);
      assert.deepEqual((await program.line('worker')).args, [1]);
      assert.deepEqual((await program.line('exit')).args, [0]);
    });
  }

  it('gives ES modules the names that they import from node:cluster', () => {
    const text = `
      import * as nodes from 'node:cluster';
      import * as ours from ${JSON.stringify(path.join(PACKAGE, 'cluster.js'))};
      const kinds = (names) => Object.keys(nodes).filter((name) => name[0] !== '_').map((name) => typeof names[name]);
      console.log(JSON.stringify([kinds(nodes), kinds(ours)]));`;
    const args = ['--input-type=module', '--eval', text];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const [nodes, ours] = JSON.parse(stdout || stderr);
    assert.ok(nodes.includes('function'));
    assert.deepEqual(ours, nodes);
  });

  it('leaves a program alone that forks nobody', async () => {
    const program = start('api-innocent', { execArgv: ['--require', REGISTER] });
    await program.line('here');
    program.kill('SIGINT');
    assert.deepEqual((await program.line('signal')).args, ['SIGINT']);
  });

  it('lets the workers of a killed primary end by themselves', async () => {
    const program = play('serve', OURS['cluster2-rs/register']);
    const workers = (await program.lines('listening', 2)).map(({ args: [pid] }) => pid);
    program.kill('SIGKILL');
    await eventually(() => !workers.some((pid) => isAlive(pid)), { what: 'the workers to end' });
  });
});
