// npm run test:torture [-- --reloads 100 --recycles 20 --scales 20 --kinds short,upload --node FILE --deadline 3000]
//
// Reloads, recycles and scales a cluster of four workers under every kind of load, and says what the clients saw: all
// counters but `ok` must be zero. Exits with 1 if one is not. Bounded by a time for each step.
'use strict';

const { parseArgs } = require('node:util');

const { reap, ready, start, eventually, request } = require('../support');
const { ask } = require('../support/control');
const { Load, KINDS } = require('../support/load');

const WORKERS = 4;

const { values } = parseArgs({
  options: {
    reloads: { type: 'string', default: '100' },
    recycles: { type: 'string', default: '20' },
    scales: { type: 'string', default: '20' },
    kinds: { type: 'string', default: Object.keys(KINDS).join() },
    node: { type: 'string' },
    // Streams of events and WebSockets last until the deadline of a drain, in ms; here it comes soon.
    deadline: { type: 'string', default: '3000' },
  },
});
const deadline = Number(values.deadline);

const acts = {
  async reloads(program, at) {
    const answer = await ask(program, 'reload', { strategy: at % 4 === 3 ? 'all-first' : 'rolling' }, 120_000);
    if (!answer.ok) throw new Error(JSON.stringify(answer));
  },

  async recycles(program) {
    const before = program.seen('died').length;
    await request(program.port, { path: '/suicide' });
    await eventually(() => program.seen('died').length > before, { within: 60_000, what: 'the end of a recycle' });
  },

  // One up and one down count as one.
  async scales(program, at) {
    const gone = program.seen('died').length;
    const listening = program.seen('listening').length;
    const more = WORKERS + 1 + at % 3;
    await ask(program, 'scale', { workers: more });
    const added = more - WORKERS;
    await eventually(() => program.seen('listening').length >= listening + added * program.apps,
      { within: 60_000, what: 'more workers' });
    await ask(program, 'scale', { workers: WORKERS });
    await eventually(() => program.seen('died').length >= gone + added, { within: 60_000, what: 'fewer workers' });
  },
};

async function main() {
  const program = start('torture', { options: { noWorkers: WORKERS, recycleTimeout: deadline,
    shutdownTimeout: deadline, connThreshold: 1e9, host: '127.0.0.1' }, node: values.node });
  const apps = 3;
  await ready(program, WORKERS * apps);
  program.apps = apps;
  const losses = [];
  for (const [name, act] of Object.entries(acts)) {
    const load = new Load(program, values.kinds.split(','));
    await load.flows();
    const began = performance.now();
    for (let at = 0; at < Number(values[name]); at += 1) {
      await act(program, at);
      if (at % 10 === 9) console.log(`${at + 1} ${name}, lost so far: ${load.losses.join('; ') || 'nothing'}`);
    }
    const seconds = (performance.now() - began) / 1000;
    await load.flows();
    const counters = await load.stop();
    console.log(`\n${values[name]} ${name} in ${seconds.toFixed(1)} s`);
    console.table(counters);
    losses.push(...load.losses.map((loss) => `${name}: ${loss}`));
  }
  const warnings = program.seen('warning').filter(({ role }) => role === 'master');
  for (const { args: [{ message }] } of warnings.slice(0, 10)) console.log(`warning: ${message}`);
  await reap();
  console.log(losses.length > 0 ? `LOST: ${losses.join('; ')}` : 'nothing lost');
  process.exitCode = losses.length > 0 ? 1 : 0;
}

main().catch(async (error) => {
  console.error(error);
  await reap().catch(() => {});
  process.exit(1);
});
