// Random conversations between workers that ask, a master that answers, and deadlines, without processes.
'use strict';

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const { isDeepStrictEqual } = require('node:util');

const fc = require('fast-check');

const { Deadlines, Waiting } = require('../../lib/delegation/deadlines');
const { Delegations } = require('../../lib/delegation/delegations');
const { holds, holdsInTime } = require('../support/properties');

const NAMES = ['a', 'b', 'a\nb', 'toString', 'length', ''];
const EXPECTED = ['x', 'y'];
const PIDS = [11, 12, 13];
const LONG_MS = 60_000;

// As values come over a channel.
const sent = (given) => JSON.parse(JSON.stringify(given));
const value = fc.jsonValue({ maxDepth: 2 }).map(sent);
const small = fc.oneof(value, fc.constantFrom(0, '0', null, 'null', 'undefined', '', {}, [], [null], { a: 1 }));
const fields = fc.dictionary(fc.constantFrom(...NAMES), small, { maxKeys: 3 }).map(sent);
const ask = fc.record({
  deed: fc.constant('ask'),
  pid: fc.constantFrom(...PIDS),
  expect: fc.constantFrom(...EXPECTED),
  matches: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 3 }),
  fields,
  notification: fc.boolean(),
});
const emit = fc.record({ deed: fc.constant('emit'), expect: fc.constantFrom(...EXPECTED), fields });
const leave = fc.record({ deed: fc.constant('leave'), pid: fc.constantFrom(...PIDS) });
const deeds = fc.array(fc.oneof({ weight: 5, arbitrary: ask }, { weight: 4, arbitrary: emit }, leave),
  { maxLength: 40 });

// A master with workers, and every line that these were told.
class Stage {
  cluster = new EventEmitter();
  delegations = new Delegations(this.cluster);
  replies = new Map();
  #last = 0;

  constructor() {
    this.cluster.on('warning', ({ message }) => assert.fail(message));
    this.delegations.start(() => {});
  }

  ask({ pid, expect, matches, fields: own, notification }, more) {
    this.#last += 1;
    const call = this.#last;
    const post = (text) => {
      const reply = JSON.parse(text);
      assert.equal(reply.call, call);
      assert.equal(reply.type, expect);
      assert.ok(!this.replies.has(call), 'a question has one answer');
      this.replies.set(call, reply);
    };
    const message = Object.assign(Object.create(null), own);
    Object.assign(message, { delegate: 'type', expect, matches, call, timeout: LONG_MS, ...more });
    if (notification) message.notification = true;
    this.delegations.asked({ pid, post }, sent(message));
    return call;
  }
}

// What JSON says of a name; one that is not there is nothing.
function under(object, name) {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isAnswered({ matches, fields: asked }, answer) {
  return matches.every((name) => isDeepStrictEqual(under(asked, name), under(answer, name)));
}

describe('delegation', () => {
  it('answers each question once, by the first answer with the values that must match, and no other', () => {
    holds(fc.property(deeds, (history) => {
      const stage = new Stage();
      const open = new Map();
      for (const deed of history) {
        if (deed.deed === 'ask') open.set(stage.ask(deed), deed);
        if (deed.deed === 'leave') {
          stage.delegations.gone(deed.pid);
          for (const [call, { pid }] of open) if (pid === deed.pid) open.delete(call);
        }
        if (deed.deed === 'emit') {
          stage.delegations.heard(deed.expect, deed.fields);
          for (const [call, asked] of open) {
            const isMeant = asked.expect === deed.expect && isAnswered(asked, deed.fields);
            assert.equal(stage.replies.has(call), isMeant, `question ${call}`);
            if (!isMeant) continue;
            assert.deepEqual(stage.replies.get(call).answer, deed.fields);
            open.delete(call);
          }
        }
      }
      for (const call of open.keys()) assert.ok(!stage.replies.has(call));
      for (const pid of PIDS) stage.delegations.gone(pid);
      for (const expect of EXPECTED) assert.ok(!stage.delegations.heard(expect, {}), `a subscription to ${expect}`);
    }), 2000);
  });

  it('ends a subscription with the workers that it is for, also with those that ended before it began', () => {
    const stage = new Stage();
    const ended = new Set([12]);
    const told = [];
    stage.delegations.start((text, pids) => told.push(pids), (pid) => !ended.has(pid));
    stage.ask({ pid: 11, expect: 'x', fields: {}, notification: true }, { targets: [12, 13] });
    stage.delegations.heard('x', {});
    told.length = 0;
    stage.delegations.heard('x', {});
    assert.deepEqual(told, [[11, 13]]);
    stage.delegations.gone(13);
    assert.ok(stage.delegations.heard('x', {}));
    stage.delegations.gone(11);
    assert.ok(!stage.delegations.heard('x', {}));
  });

  it('refuses subscriptions above 10,000 with one warning, and takes them when others have ended', () => {
    const stage = new Stage();
    const warnings = [];
    stage.cluster.removeAllListeners('warning').on('warning', ({ message }) => warnings.push(message));
    const subscribe = (number) => {
      const message = { delegate: 'type', expect: `x${number}`, targets: [11], notification: true };
      stage.delegations.asked({ pid: 11, post() {} }, message);
      stage.delegations.heard(message.expect, {});
    };
    const isSubscribed = (number) => stage.delegations.heard(`x${number}`, {});
    for (let number = 1; number <= 10_002; number += 1) subscribe(number);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /'type' asked for notifications that it does not get: there are 10000 subscriptions/);
    assert.deepEqual([10_000, 10_001].map(isSubscribed), [true, false]);
    stage.delegations.gone(11);
    subscribe(10_001);
    assert.deepEqual([10_000, 10_001].map(isSubscribed), [false, true]);
  });

  it('gives each asker what the handler gave for its own question, whenever that comes', async () => {
    const manner = fc.constantFrom('value', 'promise', 'throw', 'reject', 'unwritable');
    const asks = fc.array(fc.record({ ask, manner, payload: small }), { minLength: 1, maxLength: 20 });
    await holdsInTime(fc.asyncProperty(asks, fc.scheduler(), async (questions, scheduler) => {
      const stage = new Stage();
      const manners = {
        value: (payload) => ({ payload }),
        promise: (payload) => scheduler.schedule(Promise.resolve({ payload })),
        throw: () => { throw new Error('no'); },
        reject: () => scheduler.schedule(Promise.resolve()).then(() => { throw new Error('no'); }),
        unwritable: () => ({ number: 1n }),
      };
      stage.delegations.handle('type', ({ how, given }) => manners[how](given));
      const calls = questions.map(({ ask: asked, manner: how, payload: given }) => {
        const alone = { ...asked, fields: {}, matches: [], notification: false };
        return [stage.ask(alone, { payload: { how, given } }), how, given];
      });
      await scheduler.waitAll();
      await new Promise(setImmediate);
      for (const [call, how, given] of calls) {
        const { answer, error } = stage.replies.get(call);
        if (how === 'value' || how === 'promise') assert.deepEqual(answer, { payload: given });
        else assert.equal(error.code, 'ERR_CLUSTER2_DELEGATE_FAILED');
      }
    }), 200);
  });

  it('keeps what waits for its deadline in the order in which it came, whatever is taken out', () => {
    const steps = fc.array(fc.record({ add: fc.boolean(), ms: fc.constantFrom(1e6, 2e6), at: fc.nat() }));
    holds(fc.property(steps, (history) => {
      const deadlines = new Deadlines(() => assert.fail('nothing is due'));
      let waiting = [];
      const gone = [];
      for (const { add, ms, at } of history) {
        if (add) {
          const thing = Object.assign(new Waiting(), { ms });
          deadlines.add(thing, ms);
          waiting.push(thing);
        } else if (waiting.length > 0) {
          const thing = waiting[at % waiting.length];
          assert.ok(deadlines.remove(thing));
          waiting = waiting.filter((other) => other !== thing);
          gone.push(thing);
        }
        for (const thing of gone) assert.ok(!deadlines.remove(thing));
        for (const ofLength of [1e6, 2e6]) {
          const found = deadlines.all().filter((thing) => thing.ms === ofLength);
          assert.deepEqual(found, waiting.filter((thing) => thing.ms === ofLength));
        }
      }
    }), 500);
  });
});
