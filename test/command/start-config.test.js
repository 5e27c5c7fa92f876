// `cluster2 start` with a configuration: files of ours, the key of package.json, ecosystem files of PM2.
'use strict';

const assert = require('node:assert/strict');

const { freePort, reap, request } = require('../support');
const { command } = require('../support/command');
const { directoryOf, removeDirectories, SERVER, servingScript } = require('../support/script');

const facts = async (program) => JSON.parse((await request(program.port)).body);

describe('a configuration of cluster2 start', () => {
  afterEach(reap);
  after(removeDirectories);

  const options = { script: 'app.js', args: ['a', 'b'], workers: 1, name: 'shop', env: { A: 'x', B: 1 } };
  for (const [name, text] of [
    ['cluster2.config.js', `module.exports = ${JSON.stringify(options)}`],
    ['cluster2.config.mjs', `export default ${JSON.stringify(options)}`],
    ['cluster2.config.json', JSON.stringify(options)],
    ['package.json', JSON.stringify({ name: 'shop', cluster2: options })],
  ]) {
    it(`may be ${name}, with which the command alone starts`, async () => {
      const program = await servingScript({ 'app.js': SERVER, [name]: text }, []);
      const { argv, env } = await facts(program);
      assert.deepEqual([argv.slice(1), env.A, env.B], [['a', 'b'], 'x', '1']);
      const [{ workers, name: called, config }] = program.seen('started');
      assert.deepEqual([workers, called, config], [1, 'shop', name]);
    });
  }

  it('gives way to the command line, and is said where it is wrong', async () => {
    const files = { 'app.js': SERVER, 'other.js': SERVER, 'cluster2.config.json': JSON.stringify(options) };
    const program = await servingScript(files, ['--workers', '2', '--env', 'A=y', 'other.js', 'c']);
    const { argv, env } = await facts(program);
    assert.match(argv[0], /other\.js$/);
    assert.deepEqual([argv.slice(1), env.A, env.B], [['c'], 'y', '1']);
    assert.equal(program.ready.workers, 2);
    for (const [text, problem] of [
      ['{', /the configuration .*cluster2\.config\.json can't be read: /],
      ['[1]', /cluster2\.config\.json has no apps/],
      ['{"workers": 2}', /start needs a script \(cluster2\.config\.json has no `exec`\)/],
      ['{"script": "app.js", "timeout": -1}', /option `timeout` must be a whole number of milliseconds/],
    ]) {
      const { code, stderr } = await command(directoryOf({ ...files, 'cluster2.config.json': text }), ['start']);
      assert.match(stderr, problem);
      assert.equal(code, 2);
    }
  });
});

describe('an ecosystem file of PM2', () => {
  afterEach(reap);
  after(removeDirectories);

  const app = {
    name: 'api',
    script: 'app.js',
    args: '--one "two words"',
    instances: 2,
    exec_mode: 'cluster',
    node_args: '--no-warnings',
    max_memory_restart: '300M',
    kill_timeout: 3000,
    listen_timeout: 8000,
    exp_backoff_restart_delay: 150,
    autorestart: true,
    watch: false,
    env: { NODE_ENV: 'development', SHARED: 'yes' },
    env_production: { NODE_ENV: 'production' },
  };
  const ecosystem = (...apps) => `module.exports = ${JSON.stringify({ apps })}`;

  it('starts and does what it says', async () => {
    const file = ecosystem({ ...app, cron_restart: '0 0 * * *', watch: true, max_restarts: 5 });
    const program = await servingScript({ 'app.js': SERVER, 'ecosystem.config.js': file }, ['--env', 'production']);
    const { argv, env, execArgv } = await facts(program);
    assert.deepEqual([argv.slice(1), execArgv], [['--one', 'two words'], ['--no-warnings']]);
    assert.deepEqual([env.NODE_ENV, env.SHARED], ['production', 'yes']);
    assert.match(env.NODE_APP_INSTANCE, /^[01]$/);
    assert.equal(env.NODE_APP_INSTANCE, env.CLUSTER2_INSTANCE);
    const [{ workers, name }] = program.seen('started');
    assert.deepEqual([workers, name], [2, 'api']);
    const said = program.stderr.split('\n').filter(Boolean);
    assert.deepEqual(said.map((line) => /`(\w+)` has no effect here: /.exec(line)?.[1]).sort(),
      ['cron_restart', 'max_restarts', 'watch']);
  });

  it('is followed by options of start, and then by what its script gets', async () => {
    const files = { 'app.js': SERVER, 'ecosystem.config.js': ecosystem(app) };
    const words = ['ecosystem.config.js', '--env', 'production', '--workers', '1', '--env', 'SHARED=no'];
    const program = await servingScript(files, words);
    const { argv, env } = await facts(program);
    assert.deepEqual(argv.slice(1), ['--one', 'two words']);
    assert.deepEqual([env.NODE_ENV, env.SHARED, program.ready.workers], ['production', 'no', 1]);
    const other = await servingScript(program.cwd, ['--pids', 'others', ...words, 'an', '--argument']);
    assert.deepEqual((await facts(other)).argv.slice(1), ['an', '--argument']);
  });

  it('counts a variable up, waits for ready, and names the number of an instance', async () => {
    const port = await freePort();
    const names = { increment_var: 'COUNTED', instance_var: 'WHICH' };
    const counting = { ...app, ...names, wait_ready: true, env: { COUNTED: port } };
    const text = `${SERVER}; server.on('listening', () => setTimeout(() => process.send('ready'), 50));`;
    const program = await servingScript({ 'app.js': text, 'ecosystem.config.js': ecosystem(counting) },
      ['ecosystem.config.js']);
    const { env } = await facts(program);
    assert.equal(Number(env.COUNTED), port + Number(env.CLUSTER2_INSTANCE));
    assert.equal(env.WHICH, env.CLUSTER2_INSTANCE);
    assert.equal(env.NODE_APP_INSTANCE, undefined);
  });

  it('with several apps needs to know which, by --only', async () => {
    const files = {
      'app.js': SERVER,
      'other.js': SERVER,
      'ecosystem.config.js': ecosystem(app, { name: 'other', script: 'other.js' }),
    };
    const cwd = directoryOf(files);
    for (const [args, problem] of [
      [[], /has several apps \(api, other\): say which one with --only NAME/],
      [['--only', 'none'], /has no app 'none'; it has api, other/],
      [['--only', 'api', '--env', 'staging'], /has no `env_staging`, which --env staging asks for/],
    ]) {
      const { code, stderr } = await command(cwd, ['start', ...args]);
      assert.match(stderr, problem);
      assert.equal(code, 2);
    }
    const program = await servingScript(cwd, ['--only', 'other']);
    assert.match((await facts(program)).argv[0], /other\.js$/);
    assert.equal(program.ready.workers, 1);
  });
});
