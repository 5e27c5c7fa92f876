// The option `timeout`: connections on which nothing moves are cut in time, whatever they wait for.
'use strict';

const assert = require('node:assert/strict');

const { connect, ready, reap, request, start, startCluster } = require('../support');

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

describe('what the application chose for its connections', () => {
  afterEach(reap);

  const startWith = async (kind) => {
    const options = { noWorkers: 1, timeout: TIMEOUT_MS };
    return ready(start('timeouts', { args: [kind], options }), 1);
  };
  const LONGER_MS = 3 * TIMEOUT_MS;

  for (const when of ['before it is handed over', 'when it listens', 'when a request comes']) {
    it(`stands, if it is keepAliveTimeout, set ${when}`, async () => {
      const program = await startWith(`keepAliveTimeout ${when}`);
      const connection = await connect(program.port);
      const asked = performance.now();
      // The answer under way when it is set knows the value from before.
      await connection.get('/').until(/hello$/);
      const { input } = await connection.get('/').until(/hello[^]+hello$/);
      assert.match(input, /keep-alive: timeout=2\r\n[^]*hello$/i);
      await connection.ended({ within: 6000 });
      assert.ok(performance.now() - asked >= 2000 - 20);
      assert.deepEqual(program.seen('warning'), []);
    });
  }

  for (const when of ['before it is handed over', 'when it listens']) {
    it(`stands, if it is server.timeout, set ${when}; an idle connection is still cut after the option's`, async () => {
      const program = await startWith(`timeout ${when}`);
      const connection = await connect(program.port);
      const from = performance.now();
      await connection.get(`/slow?${LONGER_MS}`).until(/slow$/);
      assert.ok(performance.now() - from >= LONGER_MS - 20);
      await connection.ended({ within: 3500 });
    });
  }

  it('stands, if it is headersTimeout or requestTimeout', async () => {
    const program = await startWith('headersTimeout');
    const { body } = await request(program.port, { path: '/timeouts' });
    assert.deepEqual(JSON.parse(body), { headersTimeout: 12345, requestTimeout: 23456 });
  });

  for (const what of ['request', 'response']) {
    it(`for one ${what}, a timeout of 0, ends with the answer`, async () => {
      const program = await startWith('none');
      const connection = await connect(program.port);
      await connection.get(`/untimed?${what}`).until(/untimed$/);
      await cutInTime(connection, performance.now() - TIMEOUT_MS / 4);
    });
  }

  for (const kind of ['websocket', 'tunnel']) {
    it(`is its own affair once a connection is upgraded: ${kind}`, async () => {
      const program = await startWith('none');
      const connection = await connect(program.port);
      if (kind === 'tunnel') connection.send('CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n');
      else connection.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      await connection.until(/\r\n\r\n/);
      // Another connection, which is cut, shows that enough time has passed.
      for (let round = 0; round < 3; round += 1) await (await connect(program.port)).ended();
      assert.ok(!connection.isEnded);
      assert.deepEqual(program.seen('timed out'), []);
      await connection.send('still here').until(/still here$/);
    });
  }
});
