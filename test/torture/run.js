// npm run test:torture [-- --seed 7 | --seeds 1-50 | --for 10m] [--seconds 30] [--keep-going] [--only kill,reload]
//
// Each seed is a cluster, clients of every protocol, a schedule of faults and a judgement of what the clients saw. A
// line for each says what happened; one that fails says what was violated, and how to run it again. Exit status 1 then.
// Without arguments it is seeds 1 to 20.
'use strict';

const { parseArgs } = require('node:util');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: after } = require('node:timers/promises');

const { judge } = require('./checker');
const { Clients } = require('./clients');
const { FAULTS } = require('./faults');
const { History } = require('./history');
const { Observers } = require('./observers');
const { Random } = require('./random');
const { draw } = require('./schedule');
const { Target } = require('./target');
const { eventually } = require('../support');

const WARM_UP_MS = 700;
const SETTLE_MS = 40_000;
// A shutdown has its timeouts, and a moment.
const MARGIN_MS = 3000;
const SHOWN = 8;
const LOOKS = 10;
const LOOK_MS = 30;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    for: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    only: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const only = values.only?.split(',');

async function main() {
  let failures = 0;
  for (const seed of seeds()) {
    if (await runSeed(seed)) continue;
    failures += 1;
    if (!values['keep-going']) break;
  }
  process.exit(failures > 0 ? 1 : 0);
}

// Which seeds: one, some, or one after the other until the time is over.
function* seeds() {
  if (values.for) {
    const [, amount, unit] = /^(\d+)([smh])$/.exec(values.for);
    const end = Date.now() + amount * { s: 1e3, m: 6e4, h: 36e5 }[unit];
    for (let seed = Number(values.seed ?? Date.now() % 1e9); Date.now() < end; seed += 1) yield seed;
    return;
  }
  const [first, last = first] = (values.seeds ?? values.seed ?? '1-20').split('-').map(Number);
  for (let seed = first; seed <= last; seed += 1) yield seed;
}

async function runSeed(seed) {
  const plan = draw(seed, seconds, only);
  const history = new History();
  const target = new Target(plan, history);
  try {
    await torture(plan, target, history);
  } catch (error) {
    history.brokenAt = Date.now();
    const status = await target.control('status', {}).catch(({ message }) => message);
    history.found('the run', `${error.stack}\n${JSON.stringify(status)}\n${target.program.output()}`);
  } finally {
    target.writeWorkers();
    await target.end();
  }
  const { violations, excused } = judge(history, plan.options);
  console.log(summary(plan, history, excused, violations));
  if (violations.length > 0) tell(plan, history, violations);
  return violations.length === 0;
}

async function torture(plan, target, history) {
  await target.start();
  const observers = new Observers(target, history);
  const clients = new Clients(target, history, new Random(plan.seed).branch());
  try {
    await live(plan, target, history, { observers, clients });
  } finally {
    // After a failure they find nobody any more, and end by themselves.
    Promise.all([clients.stop(), observers.stop()]).catch(() => {});
  }
}

// From the warm-up to the shutdown.
async function live(plan, target, history, { observers, clients }) {
  clients.start();
  await after(WARM_UP_MS);
  await clients.stop();
  await target.settled(SETTLE_MS);
  const before = await holdingsAtRest(target);

  clients.start();
  await torment(plan, target, history);
  history.quietFrom = Date.now();

  const { noWorkers } = plan.options;
  if ((await target.control('scale', { workers: noWorkers }))?.ok) target.wanted = noWorkers;
  await clients.stop();
  await target.settled(SETTLE_MS);
  await compareHoldings(target, history, before);
  await observers.tally();

  clients.start();
  await after(WARM_UP_MS);
  await shutDown(plan, target, history);
  await Promise.all([clients.stop(), observers.stop()]);
}

// Does the acts at their times; resolves when all of them are over.
async function torment({ acts, seconds: length }, target, history) {
  const begun = Date.now();
  const underWay = [];
  for (const { at, fault, ...figures } of acts) {
    await after(Math.max(0, begun + at * 1000 - Date.now()));
    if (!target.isUp) continue;
    history.act(fault, JSON.stringify(figures));
    underWay.push(Promise.resolve(FAULTS[fault].run(target, figures, history)).catch((error) => {
      history.found(fault, error.message);
    }));
  }
  await after(Math.max(0, begun + length * 1000 - Date.now()));
  await Promise.all(underWay);
}

// The observers have connections for a moment now and then.
async function holdingsAtRest(target) {
  let least = target.holdings();
  for (let look = 0; look < LOOKS; look += 1) {
    await after(LOOK_MS);
    const now = target.holdings();
    if (now.descriptors.length < least.descriptors.length) least = now;
  }
  return least;
}

// What the master held after the warm-up, and no more, it holds now.
async function compareHoldings(target, history, before) {
  let now;
  const isAsBefore = () => {
    now = target.holdings();
    return now.zombies === 0 && now.threads <= before.threads && now.descriptors.length <= before.descriptors.length;
  };
  await eventually(isAsBefore).catch(() => {
    history.found('gained', `${now.zombies} zombies, ${now.threads - before.threads} threads, open files ${
      gained(now.descriptors, before.descriptors)}`);
  });
}

// What there is more of.
function gained(now, before) {
  const count = (names, wanted) => names.filter((name) => name === wanted).length;
  return [...new Set(now)].map((name) => [name, count(now, name) - count(before, name)])
    .filter(([, more]) => more !== 0).map(([name, more]) => `${more} ${name}`).join(', ');
}

// Under load, in time, with the right status, and nobody is left.
async function shutDown({ ending, options }, target, history) {
  history.endingAt = Date.now();
  history.act('shutdown', ending);
  const { program } = target;
  if (ending === 'control') await target.control('shutdown', {});
  else program.kill(ending);
  const within = options.shutdownTimeout + options.killTimeout + MARGIN_MS;
  const { code, signal } = await program.exit({ within });
  if (code !== 0) history.found('the end', `status ${code}, signal ${signal}`);
  if (program.processes().length > 0) history.found('orphans', `${program.processes()} outlive the shutdown`);
}

function summary({ seed, faults, isScript, options }, history, excused, violations) {
  const count = (name) => history.acts.filter(({ fault }) => fault === name).length;
  const { requests, kills, outages, workers } = history;
  const verdict = violations.length > 0 ? `${violations.length} VIOLATIONS` : 'ok';
  return `seed ${seed}: ${verdict}; ${requests.length} requests, ${excused} excused losses, ${kills.length} kills, ${
    count('reload')} reloads, ${outages.length} masters killed, ${workers.length} workers; ${options.noWorkers} ${
    options.scheduling}${isScript ? ', as it is' : ''}; ${faults.join(' ')}`;
}

function tell(plan, history, violations) {
  for (const { at, rule, text } of violations.slice(0, SHOWN)) {
    console.log(`\n  VIOLATED ${rule}, at ${((at - history.begunAt) / 1000).toFixed(3)}: ${text}`);
  }
  console.log(`\n${history.around(violations[0].at).slice(-60).join('\n')}`);
  const file = path.join(os.tmpdir(), `torture-${plan.seed}.txt`);
  const all = violations.map(({ at, rule, text }) => `${at - history.begunAt} ${rule}: ${text}`);
  fs.writeFileSync(file, [JSON.stringify(plan), ...all, ...history.around(0, 0, Infinity)].join('\n'));
  const restricted = only ? ` --only ${only.join()}` : '';
  console.log(`\noptions ${JSON.stringify(plan.options)}\nthe whole history: ${file}
again: npm run test:torture -- --seed ${plan.seed} --seconds ${plan.seconds}${restricted}\n`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
