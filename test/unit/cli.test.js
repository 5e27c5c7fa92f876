// How the command line reads arguments and shows a cluster; its pure parts.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');

const { parse } = require('../../lib/cli/arguments');
const { describe: shown } = require('../../lib/cli/status-text');
const { plain } = require('../../lib/cli/plain');
const { age, figure, table } = require('../../lib/cli/table');

const NOW = Date.parse('2026-01-01T00:00:00Z');
const worker = (id, rest = {}) => ({
  id, pid: 1000 + id, slot: id - 1, state: 'serving', forkedAt: '2025-12-31T23:59:00.000Z', figures: null, ...rest,
});
const status = (rest = {}) => ({
  pid: 1,
  state: 'serving',
  serving: 2,
  wanted: 2,
  started: '2025-12-31T21:00:00.000Z',
  ecv: { enabled: true, leaving: false, by: null, at: null, reason: null },
  addresses: [{ address: '::', family: 'IPv6', port: 80 }, { path: '/run/app.sock' }],
  workers: [worker(2), worker(1)],
  events: ['one', 'two', 'three'].map((text) => ({ time: '2025-12-31T23:59:00.000Z', event: 'forked', pid: 1, text })),
  ...rest,
});

describe('arguments', () => {
  it('give command, operands and options, in any order', () => {
    const asked = parse(['reload', '--env', 'A=1', '--wait', '--env=B=2=3', '--pids', '/run/app', '--timeout', '1.5']);
    assert.deepEqual(asked.options, { env: ['A=1', 'B=2=3'], wait: true, pids: '/run/app', timeout: '1.5' });
    assert.deepEqual([asked.command, asked.dir, asked.within, asked.pid], ['reload', '/run/app', 1500, undefined]);
    assert.equal(parse(['status']).dir, path.resolve('pids'));
  });

  it('take a number with a sign for an operand', () => {
    assert.deepEqual(parse(['scale', '--pid', '7', '-2']).operands, ['-2']);
  });

  it('leave everything behind a script to the script', () => {
    assert.deepEqual(parse(['start', 'app.js', '--help', '--pids']).operands, ['app.js', '--help', '--pids']);
  });

  it('know no command that every object has', () => {
    assert.throws(() => parse(['toString']), { status: 2, message: /no command 'toString'/ });
    assert.throws(() => parse(['status', '--constructor']), { status: 2, message: /no option '--constructor'/ });
  });
});

describe('a cluster as text', () => {
  it('is a headline, its addresses, and its workers by slot, spares last', () => {
    const workers = [worker(3, { slot: null, state: 'draining' }), worker(2), worker(1)];
    const lines = shown(status({ workers }), { now: NOW }).split('\n');
    assert.equal(lines[0], 'master 1: serving, 2 of 2 workers serve, in rotation, up 3 h');
    assert.equal(lines[1], 'listens on [::]:80, /run/app.sock');
    assert.match(lines[2], /^WORKER +SLOT +PID +STATE +AGE +REQ\/S/);
    assert.deepEqual(lines.slice(3).map((line) => line.trim().split(/ +/).slice(0, 4)),
      [['1', '0', '1001', 'serving'], ['2', '1', '1002', 'serving'], ['3', '-', '1003', 'draining']]);
  });

  it('says who took it out of rotation and why, without what a terminal would obey', () => {
    const ecv = { enabled: false, leaving: false, by: 'POST from ::1', reason: 'x\u001b]0;y\u0007' };
    const [headline] = shown(status({ ecv }), { now: NOW }).split('\n');
    assert.ok(headline.includes("out of rotation by POST from ::1 ('x\\x1B]0;y\\x07'),"), headline);
  });

  it('keeps within the rows that there are, and says how many workers it leaves out', () => {
    const workers = Array.from({ length: 64 }, (_, at) => worker(at + 1));
    for (const rows of [10, 24, 66, 67, 68, 100]) {
      const text = shown(status({ workers }), { now: NOW, rows, events: 2 });
      const lines = text.split('\n');
      assert.ok(lines.length <= rows, `${lines.length} of ${rows}`);
      const seen = lines.filter((line) => / 10\d\d +serving /.test(line)).length;
      const [, left = 0] = /^and (\d+) more$/m.exec(text) ?? [];
      assert.equal(seen + Number(left), 64);
      assert.deepEqual(lines.slice(-2).map((line) => line.slice(8)), ['  forked: two', '  forked: three']);
    }
  });
});

describe('columns', () => {
  it('are right-aligned where all of them are figures', () => {
    assert.deepEqual(table([['A', 'NAME'], ['1', 'x'], ['10 %', 'yy']]), ['   A  NAME', '   1  x', '10 %  yy']);
  });

  it('show times by their two largest units, and what is unknown as a dash', () => {
    const times = [0, 59_400, 60_000, 3_661_000, 90_061_000].map(age);
    assert.deepEqual(times, ['0 s', '59 s', '1 min', '1 h 1 min', '1 d 1 h']);
    const figures = [figure(null), figure(undefined, 'ms'), figure(0), figure(1.25, 'ms', 1)];
    assert.deepEqual(figures, ['-', '-', '0', '1.3 ms']);
    assert.equal(plain('naïve'), 'naïve');
  });
});
