// componentStatus: what every process says of a component, made into one value; in the master, in workers, alone.
'use strict';

const assert = require('node:assert/strict');

const { eventually, start, reap, request, died } = require('../support');

const METHODS = ['register', 'reducer', 'getComponents', 'getStatus', 'setStatus'];

for (const where of ['the master', 'a worker']) {
  describe(`componentStatus, asked in ${where}`, function () {
    this.timeout(30000);
    let program;
    let ask;
    let master;
    let workers;

    before(async () => {
      program = await begin();
      ({ workers } = program);
      master = `m${program.pid}`;
      ask = where === 'the master' ? program.askMaster : program.askWorker;
    });
    after(reap);

    it('knows every process as the component `worker`', async () => {
      const { result } = await ask('getStatus', 'worker');
      assert.deepEqual(new Set(result), new Set([master, ...workers]));
      assert.equal(result.length, 3);
    });

    it('reduces by sum, concat, avg, array, first and own names, and by sum where it knows none', async () => {
      const results = {};
      for (const name of ['load', 'text', 'mean', 'all', 'one', 'long', 'strange']) {
        results[name] = (await ask('getStatus', name, { params: 12 })).result;
      }
      assert.ok([program.pid, ...workers].includes(results.one));
      delete results.one;
      assert.deepEqual(results, { load: 6, text: 'aaa', mean: 12, all: [12, 12, 12], long: 2, strange: 9 });
      assert.match((await ask('getStatus', 'workers only')).result, /^<1><1>$/);
    });

    it('asks one process alone', async () => {
      for (const worker of [workers[0], String(workers[1]), master]) {
        assert.deepEqual((await ask('getStatus', 'worker', { worker })).result.map(String), [String(worker)]);
        // As cluster2 had it.
        const params = { worker, params: 'inner' };
        assert.deepEqual((await ask('getStatus', 'all', { params })).result, ['inner']);
      }
      assert.equal((await ask('getStatus', 'worker', { worker: 1 })).result, null);
    });

    it('calls back as well', async () => {
      assert.equal((await ask('byCallback', 'load')).result, 6);
    });

    it('says no value where nobody has one', async () => {
      for (const name of ['nothing', 'fails']) assert.equal((await ask('getStatus', name)).result, null);
      assert.equal((await ask('setStatus', 'load', {}, 1)).result, null);
    });

    it('waits three seconds for those who do not answer, and gives what there is', async () => {
      const { result, ms } = await ask('getStatus', 'stuck');
      assert.equal(result, 5);
      assert.ok(ms > 2900 && ms < 6000, `${ms} ms`);
    });

    it('has a code for a name that nobody registered', async () => {
      for (const method of ['getStatus', 'setStatus']) {
        assert.equal((await ask(method, 'nonsense')).code, 'ERR_CLUSTER2_UNKNOWN_COMPONENT');
      }
    });

    it('changes all processes, or one', async () => {
      assert.deepEqual((await ask('setStatus', 'level', {}, 7)).result, [7, 7, 7]);
      assert.deepEqual((await ask('setStatus', 'level', { worker: workers[0] }, 8)).result, [8]);
      assert.deepEqual((await ask('getStatus', 'level')).result.sort(), [7, 7, 8]);
    });

    it('loads components by their path', async () => {
      assert.equal((await ask('getStatus', 'loaded')).result, 40);
    });

    it('lists all names', async () => {
      const { result } = await ask('getComponents');
      for (const name of ['worker', 'load', 'level', 'workers only', 'loaded']) assert.ok(result.includes(name), name);
      assert.equal(new Set(result).size, result.length);
    });
  });
}

describe('componentStatus', function () {
  this.timeout(30000);
  afterEach(reap);

  it('is there in the master before it forks, and in each worker when it listens', async () => {
    const program = await begin();
    const initialized = program.seen('initialized');
    assert.equal(initialized.length, 3);
    for (const { args } of initialized) assert.deepEqual(args[0], METHODS);
    const events = program.seen(({ role, event }) => role === 'master' && ['initialized', 'forked'].includes(event));
    assert.deepEqual(events.map(({ event }) => event), ['initialized', 'forked', 'forked']);
    const resolved = await program.lines('resolved', 3);
    assert.ok(resolved.every(({ args: [isSame] }) => isSame));
  });

  it('is right again as soon as a worker has died, and when its successor listens', async () => {
    const { askMaster, askWorker, workers, ...program } = await begin({ keep: true });
    const dead = workers[0];
    process.kill(dead, 'SIGKILL');
    await died(program.self, dead);
    assert.ok(!(await askMaster('getStatus', 'worker')).result.includes(dead));
    await program.self.line(({ event, args }) => event === 'listening' && !workers.includes(args[0]));
    assert.equal((await askMaster('getStatus', 'worker')).result.length, 3);
    await eventually(async () => (await askWorker('getStatus', 'load')).result === 6);
  });

  it('works without workers', async () => {
    const program = start('components', { options: { cluster: false } });
    const { args: [control] } = await program.line('control');
    const ask = asker(control);
    assert.deepEqual((await ask('getStatus', 'worker')).result, [`m${program.pid}`]);
    assert.equal((await ask('getStatus', 'load')).result, 2);
  });
});

// A cluster of two, ready to be asked.
async function begin({ keep } = {}) {
  const program = start('components', { options: { noWorkers: 2 } });
  const { args: [control] } = await program.line('control');
  const lines = await program.lines('listening', 2);
  for (const _ of lines) await program.line('listening');
  await program.lines('registered', 2);
  const [{ args: [{ app: [{ port }] }] }] = await program.lines(({ role, event }) => {
    return role === 'master' && event === 'addresses';
  }, 1);
  const workers = lines.map(({ args: [pid] }) => pid);
  const verbs = { workers, askMaster: asker(control), askWorker: asker(port) };
  return keep ? { ...verbs, self: program } : Object.assign(program, verbs);
}

function asker(port) {
  return async (method, ...args) => {
    const { body } = await request(port, { path: `/${method}?${encodeURIComponent(JSON.stringify(args))}` });
    return JSON.parse(body);
  };
}
