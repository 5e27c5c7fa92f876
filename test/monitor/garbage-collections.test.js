// Collections of garbage: counted by Node's own observer where `metrics: {gc: true}` asks for it, and nowhere else.
'use strict';

const assert = require('node:assert/strict');
const { isDeepStrictEqual } = require('node:util');

const { eventually, freePort, ready, reap, request, start } = require('../support');
const { readScoreboard } = require('../support/scoreboard');

const TIMES = 3;

describe('collections of garbage', () => {
  afterEach(reap);

  async function startApp(options) {
    const monPort = await freePort();
    const program = start('garbage-collections', {
      options: { noWorkers: 1, monPort, monHost: '127.0.0.1', heartbeatInterval: 100, ...options },
      execArgv: ['--expose-gc'],
    });
    return Object.assign(await ready(program, 1), { monPort });
  }

  function counted(program) {
    const [{ gcMinor, gcMajor, gcIncremental, gcPauseMs }] = readScoreboard(program.pid).rows;
    return { minor: gcMinor, major: gcMajor, incremental: gcIncremental, pauseMs: gcPauseMs };
  }

  async function collect(program) {
    for (let time = 0; time < TIMES; time += 1) await request(program.port, { path: '/collect' });
  }

  const scrape = async ({ monPort }) => (await request(monPort, { path: '/metrics' })).body;

  it('are counted in the row and shown in the metrics where the option asks for it', async () => {
    const program = await startApp({ metrics: { gc: true } });
    const ask = async () => JSON.parse((await request(program.port)).body);
    // The application's own observer began before ours; nothing is collected while both have nothing new to tell.
    const look = () => eventually(async () => {
      const [row, told] = [counted(program), await ask()];
      return isDeepStrictEqual([row, told], [counted(program), await ask()]) && { row, told };
    });
    const before = await look();
    await collect(program);
    const after = await look();
    const grown = (which) => Object.fromEntries(
      Object.keys(after[which]).map((key) => [key, after[which][key] - before[which][key]]),
    );
    const [row, told] = [grown('row'), grown('told')];
    assert.ok(row.major >= TIMES && row.minor >= TIMES, JSON.stringify(row));
    assert.deepEqual(row, { ...told, pauseMs: row.pauseMs });
    assert.ok(Math.abs(row.pauseMs - told.pauseMs) < 0.001, JSON.stringify([row, told]));
    const major = /^cluster2_gc_collections_total\{kind="major"\} (\d+)$/m.exec(await scrape(program));
    assert.ok(Number(major[1]) >= TIMES);
    await program.line(({ event, args }) => event === 'heartbeat' && args[0].gc?.full >= 0);
  });

  for (const metrics of [undefined, true, false]) {
    it(`are neither counted nor shown with metrics: ${metrics}`, async () => {
      const program = await startApp({ metrics });
      await collect(program);
      // By a beat after the last collection, an observer would have told of it.
      const beats = program.seen('heartbeat').length;
      const lines = await program.lines('heartbeat', beats + 2);
      for (const { args: [beat] } of lines.filter(({ role }) => role === 'worker')) {
        assert.deepEqual(beat.gc, { incremental: 0, full: 0, pauseMS: 0 });
      }
      assert.deepEqual(counted(program), { minor: 0, major: 0, incremental: 0, pauseMs: 0 });
      const text = await scrape(program);
      assert.match(text, /^cluster2_workers\{/m);
      assert.doesNotMatch(text, /gc_/);
    });
  }
});
