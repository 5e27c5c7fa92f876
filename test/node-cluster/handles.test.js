// Sockets and servers that the application sends between master and workers.
'use strict';

const assert = require('node:assert/strict');
const dgram = require('node:dgram');

const { start, reap, request, connect, countDescriptors, eventually } = require('../support');

const HOST = '127.0.0.1';
const TOGETHER = 30;

for (const master of ['raw', 'agent']) {
  describe(`handles that travel between master and workers (${master})`, function () {
    this.timeout(30000);
    afterEach(reap);

    it('can be sockets for the master, many at a time', async () => {
      const port = await portOf(converse('socket up', master));
      const answers = await Promise.all(Array.from({ length: TOGETHER }, () => answerOn(port)));
      assert.deepEqual(new Set(answers), new Set(['master true']));
    });

    it('can be sockets for a worker, many at a time', async () => {
      const port = await portOf(converse('socket down', master));
      const answers = await Promise.all(Array.from({ length: TOGETHER }, () => answerOn(port, 'hello')));
      assert.deepEqual(new Set(answers), new Set(['worker true hello']));
    });

    it('are closed here once they are there', async () => {
      const program = converse('socket down', master);
      const port = await portOf(program);
      await answerOn(port, 'hello');
      const before = countDescriptors(program.pid);
      for (let i = 0; i < TOGETHER; i += 1) await answerOn(port, 'hello');
      const goal = before + 3;
      await eventually(() => countDescriptors(program.pid) <= goal, { what: `at most ${goal} descriptors` });
    });

    it('can be sockets for an http server of a worker', async () => {
      const port = await portOf(converse('socket for http', master));
      const answers = await Promise.all(Array.from({ length: 10 }, (_, at) => request(port, { path: `/${at}` })));
      assert.deepEqual(answers.map(({ body }) => body), answers.map((_, at) => `worker /${at}`));
    });

    for (const [direction, who] of [['up', 'master'], ['down', 'worker']]) {
      // Node 18 asks its primary for a server that was sent, in words that its own primary doesn't understand.
      if (direction === 'down' && parseInt(process.versions.node, 10) < 20) continue;
      it(`can be a server for the ${who}`, async () => {
        const program = converse(`server ${direction}`, master);
        const port = await portOf(program);
        assert.deepEqual((await program.line('taken')).args, [true]);
        // The sender closes its own once the other has it.
        await eventually(async () => await answerOn(port) === `${who} yours`);
        for (let i = 0; i < 5; i += 1) assert.equal(await answerOn(port), `${who} yours`);
      });

      it(`can be a UDP socket for the ${who}`, async () => {
        const program = converse(`datagrams ${direction}`, master);
        const port = await portOf(program);
        assert.deepEqual((await program.line('taken')).args, [true]);
        assert.equal(await datagramAnswer(port), `${who} yours`);
      });
    }

    it('are left out when they were given away or closed', async () => {
      const program = converse('too late', master);
      const connection = await connect(await portOf(program));
      const arrived = await program.lines('arrived', 3);
      connection.close();
      const expected = [['first', 'object'], ['second', 'undefined'], ['closed', 'undefined']];
      assert.deepEqual(arrived.map(({ args }) => args), expected);
    });

    it('are refused, as Node does, when they are none', async () => {
      const [ours, theirs] = await Promise.all([master, 'node'].map(async (kind) => {
        const program = converse('refused', kind);
        const lines = await program.lines('refusal', 2);
        return lines.map(({ role, args }) => [role, ...args]).sort();
      }));
      assert.deepEqual(ours, theirs);
    });
  });
}

function converse(scenario, master) {
  return start('node-handles', {
    options: { noWorkers: 1 },
    args: [scenario],
    env: { CLUSTER2_TEST_MASTER: master },
  });
}

async function portOf(program) {
  return (await program.line('port')).args[0];
}

// What one connection is told until its end.
async function answerOn(port, text) {
  const connection = await connect(port);
  if (text) connection.send(text);
  await connection.ended();
  return connection.received;
}

async function datagramAnswer(port) {
  const client = dgram.createSocket('udp4');
  let answer;
  client.on('message', (message) => { answer = String(message); });
  client.send('hello', port, HOST);
  await eventually(() => answer !== undefined, { what: 'answer to a datagram' }).finally(() => client.close());
  return answer;
}
