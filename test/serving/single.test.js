// `cluster: false`: the application in the process itself, with monitor, idle timeout and graceful end.
'use strict';

const assert = require('node:assert/strict');

const { connect, freePort, refused, reap, request, start } = require('../support');

describe('cluster: false', () => {
  afterEach(reap);

  async function startSingle(options = {}, rest = {}) {
    const port = await freePort();
    const program = start('api-single', { options: { port, cluster: false, ...options }, ...rest });
    program.port = port;
    return program;
  }

  it('serves in the process itself, calls back with the app, forks nothing and writes no pid file', async () => {
    const program = await startSingle();
    const { args } = await program.line('callback');
    assert.deepEqual(args, [{ isApp: true, monApp: 'undefined' }]);
    assert.equal((await request(program.port, { path: '/pid' })).body, String(program.pid));
    assert.deepEqual(program.files('pids'), []);
    assert.equal(program.seen('forked').length + program.seen('listening').length, 0);
    assert.deepEqual(program.processes(), [program.pid]);
    assert.deepEqual(program.seen('facts')[0].args, [{ hasProcessCluster: false }]);
  });

  it('takes a list of one port', async () => {
    const port = await freePort();
    const program = await startSingle({ port: [port] });
    await program.line('callback');
    assert.equal((await request(port)).body, 'hello');
  });

  it('with several ports says so on stdout and exits with 255', async () => {
    const program = await startSingle({ port: [await freePort(), await freePort()] });
    assert.deepEqual(await program.exit(), { code: 255, signal: null });
    await program.line(/^Provide a single port for non-cluster mode\. Exiting\.$/);
  });

  it('answers on the monitor', async () => {
    const monPort = await freePort();
    const program = await startSingle({ monPort, monHost: '127.0.0.1' });
    await program.line('callback');
    const page = await request(monPort, { headers: { accept: 'application/json' } });
    assert.equal(page.status, 200);
  });

  it('cuts idle connections after the timeout, with a warning', async () => {
    const program = await startSingle({ timeout: 300 });
    await program.line('callback');
    const connection = await connect(program.port);
    await connection.get('/').until(/hello$/);
    await connection.ended({ within: 3000 });
    assert.deepEqual((await program.line('warning')).args, [{ message: 'Client socket timed out' }]);
  });

  for (const signal of ['SIGTERM', 'SIGINT']) {
    it(`on ${signal} answers what is under way, refuses what is new, closes its server and exits with 0`, async () => {
      const program = await startSingle({ keepAliveGrace: 50 });
      await program.line('callback');
      const idle = await connect(program.port);
      await idle.get('/').until(/hello$/);
      const busy = await connect(program.port);
      busy.get('/hold');
      await program.line('request');
      await program.line('request');
      program.kill(signal);
      const { args } = await program.line(signal);
      if (signal === 'SIGTERM') assert.deepEqual(args, [{ pid: program.pid, type: 'master' }]);
      await refused(program.port);
      await idle.ended();
      process.kill(program.pid, 'SIGUSR2');
      const answer = await busy.until(/\r\n\r\nheld$/);
      assert.match(answer.input, /connection: close/i);
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.equal(program.seen('close').length, 1);
      const events = program.seen(({ event }) => [signal, 'draining', 'close'].includes(event));
      assert.deepEqual(events.map(({ event }) => event), [signal, 'draining', 'close']);
    });
  }

  it('ends at the deadline of a shutdown although a request is never answered', async () => {
    const program = await startSingle({ shutdownTimeout: 200, keepAliveGrace: 50 });
    await program.line('callback');
    const connection = await connect(program.port);
    await connection.get('/never').until(/never/);
    program.kill('SIGTERM');
    assert.deepEqual(await program.exit({ within: 3000 }), { code: 0, signal: null });
  });

  it('says of a busy port what a cluster says', async () => {
    const first = await startSingle();
    await first.line('callback');
    const second = await startSingle({ port: first.port });
    assert.deepEqual(await second.exit(), { code: 255, signal: null });
    assert.match(second.stderr, /^Port is use \.\.\d+\ncluster2: another process listens there, .*\n$/);
  });
});
