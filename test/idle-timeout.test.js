// The option `timeout`: connections on which nothing moves are cut in time, whatever they wait for.
'use strict';

const assert = require('node:assert/strict');

const { connect, ready, reap, start, startCluster } = require('./support');

const TIMEOUT_MS = 400;
// How much later than due a cut may come on a busy machine.
const SLACK_MS = 1000;

// Waits for the end of a connection; asserts that it came a timeout after the last thing that moved on it. That
// happened after `asked`, when it was still to come, and before this call.
async function cutInTime(connection, asked) {
  const seen = performance.now();
  await connection.ended({ within: TIMEOUT_MS + 2000 });
  const now = performance.now();
  assert.ok(now - asked >= TIMEOUT_MS - 20, `cut after ${now - asked} ms at most`);
  assert.ok(now - seen < TIMEOUT_MS + SLACK_MS, `cut after ${now - seen} ms at least`);
}

describe('the idle timeout of http connections', () => {
  let program;
  before(async () => {
    program = await startCluster({ noWorkers: 1, timeout: TIMEOUT_MS });
  });
  after(reap);

  async function isWarnedOf() {
    const { role, args } = await program.line('warning');
    assert.equal(role, 'worker');
    assert.deepEqual(args, [{ message: 'Client socket timed out' }]);
  }

  it('cuts one that never sent anything', async () => {
    const asked = performance.now();
    const connection = await connect(program.port);
    await cutInTime(connection, asked);
    assert.equal(connection.received, '');
    await isWarnedOf();
  });

  it('cuts a kept-alive one after its last answer', async () => {
    const connection = await connect(program.port);
    const asked = performance.now();
    await connection.get('/').until(/hello$/);
    await cutInTime(connection, asked);
    await isWarnedOf();
  });

  it('counts anew from each request', async () => {
    const connection = await connect(program.port);
    let asked;
    for (let answers = 1; answers <= 3; answers += 1) {
      asked = performance.now();
      connection.get(`/slow?${TIMEOUT_MS / 2}`);
      await connection.until(new RegExp(`(slow[^]*){${answers}}$`));
    }
    await cutInTime(connection, asked);
    await isWarnedOf();
  });

  it('cuts a request that is answered too late', async () => {
    const connection = await connect(program.port);
    const asked = performance.now();
    connection.get('/slow?60000');
    await cutInTime(connection, asked);
    assert.equal(connection.received, '');
    await isWarnedOf();
  });

  it('cuts an answer that stands still', async () => {
    const connection = await connect(program.port);
    const asked = performance.now();
    await connection.get('/never').until(/never/);
    await cutInTime(connection, asked);
    await isWarnedOf();
  });
});

describe('the idle timeout of tcp connections', () => {
  afterEach(reap);

  it('cuts a silent one, and one that speaks only when it is silent again', async () => {
    const program = start('api-apps', { args: ['tcp'], options: { noWorkers: 1, timeout: TIMEOUT_MS } });
    await ready(program, 1);
    const talker = await connect(program.port);
    const asked = performance.now();
    const silent = await connect(program.port);
    await silent.until(/hello/);
    let spoken = asked;
    const talk = setInterval(() => {
      spoken = performance.now();
      talker.send('.');
    }, TIMEOUT_MS / 4);
    try {
      await cutInTime(silent, asked);
      assert.ok(!talker.isEnded);
    } finally {
      clearInterval(talk);
    }
    await cutInTime(talker, spoken);
    assert.deepEqual((await program.lines('warning', 2)).map(({ args }) => args[0].message),
      Array(2).fill('Client socket timed out'));
  });
});
