// Delegation: what a worker asks of the master by a message or by `c.delegate`, who gets the answer, and what is left.
'use strict';

const assert = require('node:assert/strict');

const { eventually, start, reap, request, died } = require('../support');

describe('delegation by messages', function () {
  this.timeout(30000);
  let talk;

  before(async () => { talk = await begin('plain'); });
  after(reap);

  it('is emitted in the master with the whole message, which is its own `origin`', async () => {
    const message = { type: 'delegate', delegate: 'none', domain: 'a', nested: { list: [1, null] } };
    await talk.send(talk.first, message);
    assert.deepEqual((await talk.line('asked')).args, [message]);
    await talk.send(talk.first, { type: 'delegate', delegate: 'config', domain: 'b' });
    assert.deepEqual((await talk.line('asked')).args, [{ type: 'delegate', delegate: 'config', domain: 'b' }, true]);
  });

  it('sends the answer, with `type` set, to all workers', async () => {
    await talk.send(talk.first, { type: 'delegate', delegate: 'config', expect: 'config-read', domain: 'c' });
    const answer = { domain: 'c', value: 1, type: 'config-read' };
    assert.deepEqual(await talk.heard(talk.first), answer);
    assert.deepEqual(await talk.heard(talk.second), answer);
  });

  it('sends the answer to the workers in `targets` only', async () => {
    const targets = [talk.second];
    await talk.send(talk.first, { type: 'delegate', delegate: 'config', expect: 'config-read', targets, domain: 'd' });
    assert.deepEqual(await talk.heard(talk.second), { domain: 'd', value: 1, type: 'config-read' });
    await talk.marks();
  });

  it('takes the first answer that is equal, deeply, in what `matches` names', async () => {
    const matches = ['id', 'where'];
    const question = { type: 'delegate', delegate: 'none', expect: 'matched', matches, where: { a: 1, b: [2] } };
    await talk.send(talk.first, { ...question, id: 1 });
    await talk.send(talk.first, { ...question, id: 2 });
    await talk.lines(({ event, args }) => event === 'asked' && args[0].expect === 'matched', 2);
    for (const answer of [
      { id: 2, where: { a: 1, b: [3] } },
      { id: '2', where: { b: [2], a: 1 } },
      { id: 2 },
      { id: 2, where: { b: [2], a: 1 }, found: 'second' },
      { id: 2, where: { b: [2], a: 1 }, found: 'too late' },
      { id: 1, where: { b: [2], a: 1 }, found: 'first' },
    ]) await talk.order({ emit: ['matched', answer] });
    for (const pid of [talk.first, talk.second]) {
      assert.deepEqual([(await talk.heard(pid)).found, (await talk.heard(pid)).found], ['second', 'first']);
    }
    await talk.marks();
  });

  for (const name of ['timeout', 'timeOut']) {
    it(`sends the question back with an error after \`${name}\`, and drops a later answer`, async () => {
      const question = { delegate: 'later', expect: 'in-time', [name]: 40, after: 150, id: 3, targets: [talk.first] };
      await talk.send(talk.first, { type: 'delegate', ...question });
      const { error, ...rest } = await talk.heard(talk.first);
      assert.deepEqual(rest, { ...question, type: 'in-time' });
      assert.equal(error.message, 'timeout');
      assert.equal(error.code, 'ERR_CLUSTER2_DELEGATE_TIMEOUT');
      assert.equal(error.timeout, 40);
      // Answered after the late one would have been.
      await talk.send(talk.first, { type: 'delegate', ...question, expect: 'other', [name]: 5000 });
      assert.equal((await talk.heard(talk.first)).type, 'other');
      await talk.marks();
    });
  }

  it('keeps the order of answers', async () => {
    const ids = Array.from({ length: 200 }, (_, id) => id);
    for (const id of ids) {
      const question = { type: 'delegate', delegate: 'none', expect: 'ordered', matches: ['id'], id };
      await talk.send(talk.first, { ...question, targets: [talk.first] });
    }
    await talk.lines(({ event, args }) => event === 'asked' && args[0].expect === 'ordered', ids.length);
    await talk.send(talk.first, { type: 'delegate', delegate: 'order', ids });
    const heard = [];
    for (const _ of ids) heard.push((await talk.heard(talk.first)).id);
    assert.deepEqual(heard, ids);
  });

  it('sends what is no object as `answer`', async () => {
    for (const [delegate, answer] of [['text', 'a text'], ['list', [1, 2]]]) {
      const question = { type: 'delegate', delegate, expect: `some-${delegate}`, targets: [talk.first] };
      await talk.send(talk.first, question);
      assert.deepEqual(await talk.heard(talk.first), { type: `some-${delegate}`, answer });
    }
  });

  it('answers even what is expected as `error`', async () => {
    await talk.send(talk.first, { type: 'delegate', delegate: 'error-name', expect: 'error', targets: [talk.first] });
    assert.deepEqual(await talk.heard(talk.first), { type: 'error', fine: true });
    await talk.send(talk.first, { type: 'delegate', delegate: 'error' });
    await talk.marks();
  });

  it('ignores what is no question', async () => {
    for (const delegate of [undefined, 1, null, {}]) {
      await talk.send(talk.first, { type: 'delegate', delegate, expect: 'nothing' });
    }
    await talk.marks();
  });
});

describe('notifications', function () {
  this.timeout(30000);
  let talk;

  beforeEach(async () => { talk = await begin('plain'); });
  afterEach(reap);

  it('go on after the answer, each once, however many asked, to workers that came later too', async () => {
    const question = { type: 'delegate', delegate: 'none', expect: 'change', notification: true };
    await talk.ask(talk.first, question);
    await talk.emit('change', { n: 1 });
    // The second question is answered by what is a notification of the first, once.
    await talk.ask(talk.second, question);
    await talk.emit('change', { n: 2 });
    await talk.emit('change', { n: 3 });
    for (const pid of [talk.first, talk.second]) {
      for (const n of [1, 2, 3]) assert.deepEqual(await talk.heard(pid), { type: 'change', n });
    }
    process.kill(talk.second, 'SIGKILL');
    await died(talk, talk.second);
    const { args: [pid] } = await talk.line(({ event, args }) => event === 'listening' && args[0] !== talk.second);
    await talk.emit('change', { n: 4 });
    assert.deepEqual(await talk.heard(pid), { type: 'change', n: 4 });
    assert.deepEqual(await talk.heard(talk.first), { type: 'change', n: 4 });
  });

  it('respect `matches` and `targets`', async () => {
    const question = { type: 'delegate', delegate: 'none', expect: 'change', notification: true, matches: ['key'] };
    await talk.ask(talk.first, { ...question, key: 'a', targets: [talk.first] });
    await talk.ask(talk.second, { ...question, key: 'b', targets: [talk.second] });
    for (const n of [1, 2]) {
      for (const key of ['a', 'b', 'c']) await talk.emit('change', { key, n });
    }
    for (const n of [1, 2]) {
      assert.deepEqual(await talk.heard(talk.first), { type: 'change', key: 'a', n });
      assert.deepEqual(await talk.heard(talk.second), { type: 'change', key: 'b', n });
    }
    await talk.marks();
  });

  it('go on after a timeout', async () => {
    const question = { delegate: 'none', expect: 'change', notification: true, timeout: 20 };
    await talk.ask(talk.first, { type: 'delegate', ...question });
    assert.equal((await talk.heard(talk.first)).error.message, 'timeout');
    await talk.emit('change', { n: 1 });
    assert.deepEqual(await talk.heard(talk.first), { type: 'change', n: 1 });
  });
});

describe('c.delegate and c.handle', function () {
  this.timeout(30000);
  let talk;

  before(async () => { talk = await begin('handles'); });
  after(reap);

  it('carry any payload and any answer', async () => {
    const likeOurs = { type: 'mine', expect: 1, error: 'e', call: 7 };
    for (const payload of [{ a: [1] }, [1, 2], 'text', 0, false, null, likeOurs]) {
      assert.deepEqual(await talk.answer('echo', payload), payload);
    }
    assert.deepEqual(await talk.answer('double', { n: 21 }), { n: 42 });
  });

  it('work in the master as well', async () => {
    assert.deepEqual((await talk.line('to itself')).args, [{ from: 'master' }]);
  });

  it('carry errors, with what caused them', async () => {
    const { code, message, isOurs, cause } = await talk.refusal('fails');
    assert.equal(code, 'ERR_CLUSTER2_DELEGATE_FAILED');
    assert.match(message, /too far/);
    assert.ok(isOurs);
    assert.equal(cause.code, 'E_FAR');
    assert.equal(cause.name, 'RangeError');
    assert.match((await talk.refusal('rejects')).message, /a text/);
    assert.equal((await talk.refusal('circular')).code, 'ERR_CLUSTER2_DELEGATE_FAILED');
  });

  it('give up after `timeout`, whether the handler is slow, never answers or is not there', async () => {
    for (const name of ['slow', 'never', 'nobody']) {
      assert.equal((await talk.refusal(name, 1, { timeout: 50 })).code, 'ERR_CLUSTER2_DELEGATE_TIMEOUT');
    }
    assert.equal(await talk.answer('slow', 1, { timeout: 5000 }), 'late');
  });

  it('may wait for as long as a timer can, at rest', async () => {
    assert.equal(await talk.answer('slow', 1, { timeout: 2 ** 31 - 1 }), 'late');
    await talk.order({ to: talk.first, act: 'ask', name: 'never', options: { timeout: 2 ** 31 - 1 } });
    assert.equal(await talk.answer('slow', 1), 'late');
    // Node says there when a timer is too long for it.
    assert.equal(talk.stderr, '');
  });

  it('are understood by listeners that emit the answer', async () => {
    assert.deepEqual(await talk.answer('old', { domain: 'x' }), { got: 'x' });
    const options = { expect: 'named', matches: ['domain'] };
    assert.deepEqual(await talk.answer('old-named', { domain: 'y' }, options), { domain: 'y', found: true });
  });

  it('answer questions that come as messages', async () => {
    const question = { delegate: 'double', expect: 'doubled', n: 4, matches: ['n'], targets: [talk.first] };
    await talk.send(talk.first, { type: 'delegate', ...question });
    assert.deepEqual(await talk.heardType(talk.first, 'doubled'), { type: 'doubled', n: 8 });
    await talk.send(talk.first, { type: 'delegate', delegate: 'fails', expect: 'failed', targets: [talk.first] });
    const { error } = await talk.heardType(talk.first, 'failed');
    assert.deepEqual([error.message, error.code], ['too far', 'ERR_CLUSTER2_DELEGATE_FAILED']);
  });

  it('tell other workers in `targets`, too', async () => {
    const options = { targets: [talk.second], expect: 'shared' };
    assert.deepEqual(await talk.answer('double', { n: 1 }, options), { n: 2 });
    assert.deepEqual(await talk.heardType(talk.second, 'shared'), { type: 'shared', n: 2 });
  });

  it('warn when something fails that nobody waits for', async () => {
    await talk.send(talk.first, { type: 'delegate', delegate: 'fails' });
    assert.match((await talk.line('warning')).args[0], /'fails' failed: too far/);
  });

  it('keep their order, each with its payload as it was, and one that can not be sent fails alone', async () => {
    await talk.order({ to: talk.first, act: 'burst', count: 50 });
    const { args: [outcomes] } = await talk.line('burst');
    assert.deepEqual(outcomes, Array.from({ length: 50 }, (_, n) => (n === 25 ? 'ERR_CLUSTER2_INVALID_ARGUMENT' : n)));
  });

  it('are heard of a worker that exits at once', async () => {
    await talk.order({ to: talk.second, act: 'goodbye', count: 20 });
    const lines = await talk.lines('logged', 20);
    assert.deepEqual(lines.map(({ args: [n] }) => n), Array.from({ length: 20 }, (_, n) => n));
  });

  it('refuse arguments that make no sense', async () => {
    assert.equal((await talk.refusal('', 1)).code, 'ERR_CLUSTER2_INVALID_ARGUMENT');
    const Cluster = require('../..');
    for (const args of [['', () => {}], [1, () => {}], ['name'], ['name', 'text']]) {
      assert.throws(() => new Cluster().handle(...args), { code: 'ERR_CLUSTER2_INVALID_ARGUMENT' });
    }
  });
});

describe('100,000 delegations of which half time out', function () {
  this.timeout(120000);
  afterEach(reap);

  for (const act of ['flood', 'floodByMessages']) {
    it(`leave no listener, timer or memory behind (${act})`, async () => {
      const talk = await begin('flood', { noWorkers: 1, execArgv: ['--expose-gc'] });
      const once = async (count) => {
        await talk.order({ to: talk.first, act, count });
        return (await talk.line('flooded', { within: 60000 })).args;
      };
      await once(1000);
      const [, , before] = await once(100);
      const [outcomes, , after] = await once(100000);
      const failed = act === 'flood' ? 'ERR_CLUSTER2_DELEGATE_TIMEOUT' : 'timeout';
      assert.equal(outcomes.same + outcomes[failed], 100000, JSON.stringify(outcomes));
      assert.ok(outcomes[failed] >= 50000);
      assert.equal(after.listeners, before.listeners);
      assert.ok(after.timers <= before.timers + 1, `timers: ${before.timers}, then ${after.timers}`);
      const [, , settled] = await once(100);
      const grown = (settled.heap - before.heap) / 1024 / 1024;
      assert.ok(grown < 10, `the master grew by ${grown.toFixed(1)} MB`);
    });
  }
});

// A program with the verbs of these tests.
async function begin(scenario, { execArgv, ...options } = {}) {
  const { noWorkers = 2 } = options;
  const program = start('delegation', { options: { ...options, noWorkers }, args: [scenario], execArgv });
  const { args: [control] } = await program.line('control');
  const listening = await program.lines('listening', noWorkers);
  const [first, second] = listening.map(({ args: [pid] }) => pid);
  for (const _ of listening) await program.line('listening');
  let marks = 0;
  let tags = 0;
  const order = async (order) => {
    const { status } = await request(control, { method: 'POST', body: JSON.stringify(order) });
    assert.equal(status, 200);
  };
  const said = (pid, test) => program.line(({ event, args, ...line }) => {
    return event === 'message' && line.pid === pid && test(args[0]);
  }).then(({ args: [message] }) => message);
  const send = (to, message) => order({ to, act: 'send', message });
  const settled = async (event, name, payload, options) => {
    tags += 1;
    const tag = `tag ${tags}`;
    await order({ to: first, act: 'ask', name, payload, options, tag });
    return (await program.line(({ event, args }) => event !== 'message' && args[0] === tag)
      .then((line) => {
        assert.equal(line.event, event, JSON.stringify(line.args));
        return line;
      })).args[1];
  };
  return Object.assign(program, {
    first, second, order, send,
    heard: (pid) => said(pid, () => true),
    heardType: (pid, type) => said(pid, (message) => message.type === type),
    emit: (...emit) => order({ emit }),
    /** Sends a question and waits until the master has it. */
    async ask(to, message) {
      const count = program.seen('asked').length;
      await send(to, message);
      await eventually(() => program.seen('asked').length > count);
    },
    answer: (...question) => settled('answered', ...question),
    refusal: (...question) => settled('refused', ...question),
    /** Fails when a worker has heard anything that the test did not ask for. */
    async marks() {
      marks += 1;
      const mark = { type: 'delegate', delegate: 'text', expect: `mark ${marks}` };
      await send(first, mark);
      for (const pid of [first, second]) assert.equal((await program.heard(pid)).type, `mark ${marks}`);
    },
  });
}
