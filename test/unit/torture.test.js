// The torture's schedule and checker: what is drawn, and which histories are in order.
'use strict';

const assert = require('node:assert/strict');

const { judge } = require('../torture/checker');
const { History } = require('../torture/history');
const { draw } = require('../torture/schedule');

const NOW = 1_000_000;
const OPTIONS = { scheduling: 'slots', keepAliveGrace: 1000 };

describe('the schedule of a torture', () => {
  it('is the same for the same seed, and another for another', () => {
    const seeds = Array.from({ length: 50 }, (_, seed) => JSON.stringify(draw(seed, 20)));
    assert.deepEqual(Array.from({ length: 50 }, (_, seed) => JSON.stringify(draw(seed, 20))), seeds);
    assert.equal(new Set(seeds).size, 50);
  });

  it('leaves the acts of a fault where they are when others are left out', () => {
    const { acts, faults } = draw(3, 60);
    assert.ok(faults.length > 1);
    const [kept] = faults;
    assert.deepEqual(draw(3, 60, [kept]).acts, acts.filter(({ fault }) => fault === kept));
  });
});

describe('the checker of histories', () => {
  const loss = { outcome: 'reset', took: 100, pid: 1 };

  it('finds nothing where everybody is answered', () => {
    assert.deepEqual(rules(history({ outcome: 'ok', took: 100 })), []);
  });

  it('excuses what is lost with a worker that was killed, and nothing else', () => {
    const kill = (pid, ports) => ({ kills: [{ at: NOW + 50, pid, by: 'SIGKILL', ports }] });
    assert.deepEqual(rules(history(loss)), ['reset']);
    assert.deepEqual(rules(history(loss, kill(1))), []);
    assert.deepEqual(rules(history(loss, kill(2))), ['reset']);
    const unknown = { ...loss, pid: undefined };
    assert.deepEqual(rules(history(unknown, kill(2))), []);
    assert.deepEqual(rules(history(unknown, kill(2, new Set(['127.0.0.2:4000'])))), []);
    assert.deepEqual(rules(history(unknown, kill(2, new Set(['127.0.0.2:4001'])))), ['reset']);
    assert.deepEqual(rules(history({ ...loss, outcome: 'wrong' }, kill(1))), ['wrong']);
  });

  it('excuses what is lost or refused while there is no master, and refusals in a shutdown', () => {
    const outage = { outages: [{ from: NOW + 20, to: NOW + 80 }] };
    const refused = { outcome: 'refused', took: 50 };
    assert.deepEqual(rules(history(loss, outage)), []);
    assert.deepEqual(rules(history(refused)), ['refused']);
    assert.deepEqual(rules(history(refused, outage)), []);
    assert.deepEqual(rules(history(refused, { endingAt: NOW })), []);
    assert.deepEqual(rules(history(loss, { endingAt: NOW })), ['reset']);
  });

  it('grants two seconds, and the time for which the worker of the request stood still', () => {
    const late = { outcome: 'ok', took: 3000, pid: 1 };
    const hold = (who) => ({ holds: [{ who, why: 'stopped', from: NOW + 100, to: NOW + 1500 }] });
    assert.deepEqual(rules(history(late)), ['slow']);
    assert.deepEqual(rules(history(late, hold(1))), []);
    assert.deepEqual(rules(history(late, hold(2))), ['slow']);
    assert.deepEqual(rules(history(late, hold('all'))), []);
    assert.deepEqual(rules(history({ ...late, outcome: 'hung', took: 20_000 }, hold(1))), ['hung']);
  });

  it('finds a worker that died of nothing, and a reload that failed for nothing', () => {
    const dead = { diedAt: NOW + 50, code: null, signal: 'SIGKILL', reason: 'killed by SIGKILL' };
    const ok = { outcome: 'ok', took: 100 };
    assert.deepEqual(rules(history(ok, {}, dead)), ['a death']);
    assert.deepEqual(rules(history(ok, { kills: [{ at: NOW + 40, pid: 1 }] }, dead)), []);
    const order = { what: 'reload', from: NOW, to: NOW + 100, ok: false, code: 'ERR_CLUSTER2_RELOAD_FAILED' };
    assert.deepEqual(rules(history(ok, { orders: [order] })), ['reload']);
    assert.deepEqual(rules(history(ok, { orders: [order], kills: [{ at: NOW + 40, pid: 2 }] })), []);
  });

  it('finds totals that fall, but not with a new master', () => {
    const scrape = (master, value) => ({ from: NOW, to: NOW + 5, master, counters: new Map([['a_total', value]]) });
    const after = (...scrapes) => rules(history({ outcome: 'ok', took: 100 }, { scrapes }));
    assert.deepEqual(after(scrape(1, 5), scrape(1, 6), scrape(2, 0)), []);
    assert.deepEqual(after(scrape(1, 5), scrape(1, 4)), ['a total falls']);
  });

  it('finds an answer of ECV that no order explains', () => {
    const disable = { from: NOW, to: NOW + 50, isEnabled: false, master: 1 };
    const enable = { from: NOW + 100, to: NOW + 150, isEnabled: true, master: 1 };
    const says = (word, from, to) => {
      const health = [{ from: NOW + from, to: NOW + to, word, where: 'monitor', master: 1 }];
      return rules(history({ outcome: 'ok', took: 100 }, { switches: [disable, enable], health }));
    };
    assert.deepEqual(says('AVAILABLE', 10, 20), []);
    assert.deepEqual(says('DISABLED', 10, 20), []);
    assert.deepEqual(says('AVAILABLE', 60, 70), ['ECV']);
    assert.deepEqual(says('DISABLED', 60, 70), []);
    assert.deepEqual(says('DISABLED', 90, 110), []);
    assert.deepEqual(says('DISABLED', 160, 170), ['ECV']);
  });
});

// One request at one worker, and what else happened.
function history({ outcome, took, pid }, more = {}, worker = {}) {
  const connection = { number: 1, kind: 'short', address: '127.0.0.2', port: 4000, openedAt: NOW, pid, answeredAt: 0 };
  const request = { connection, what: 'GET /', askedAt: NOW, endedAt: NOW + took, outcome, detail: '' };
  const life = { pid: 1, master: 0, listeningAt: NOW - 1000, drainingAt: Infinity, diedAt: Infinity, ...worker };
  return Object.assign(new History(), { begunAt: NOW - 2000, requests: [request], workers: [life], ...more });
}

function rules(given) {
  return judge(given, OPTIONS).violations.map(({ rule }) => rule);
}
