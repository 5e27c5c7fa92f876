// `cluster2 reload`, `recycle`, `scale`, `enable` and `disable`: what changes a cluster that goes on.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

const { misused } = require('./arguments');
const { Failure, FAILED } = require('./failure');
const { find, all } = require('./masters');
const { print } = require('./stdout');
const { counted, span } = require('./table');

// How often it is looked whether a reload has begun.
const LOOK_AGAIN_MS = 20;

async function reload(asked) {
  const { cancel: isCancel, env = [], restart, strategy } = asked.options;
  if (isCancel) return cancel(asked);
  const args = { strategy, env: environment(env), restart };
  const masters = await find(asked);
  if (!restart) for (const { pid, status } of masters) tellJoined(pid, status);
  await all(masters, asked.options.wait ? waiting(args, asked.within ?? Infinity) : beginning(args));
}

// A reload ends by itself, as the cluster's own options say: so there is no limit unless one was given.
function waiting(args, within) {
  return async (master) => {
    const { workers, ms, staleSettings } = await master.demand('reload', args, within).catch(explain);
    const none = 'no worker served, so none was replaced: the new release is being tried where they keep crashing';
    const done = `reloaded ${counted(workers.length)} in ${span(ms)}`;
    print(`master ${master.pid}: ${workers.length === 0 ? none : done}`);
    if (staleSettings) sayStale();
    for (const { slot, oldPid, newPid, startMs, readyMs, goneMs } of workers) {
      const took = `listened after ${span(readyMs - startMs)}, the old one was gone after ${span(goneMs)}`;
      print(`  slot ${slot}: ${oldPid} -> ${newPid}, ${took}`);
    }
  };
}

// Asked on one connection, and looked at on others until it has begun. If it is refused, that comes first.
function beginning(args) {
  return async (master) => {
    const leaving = new AbortController();
    const ended = master.demand('reload', args, Infinity, leaving.signal).catch(explain);
    try {
      const { staleSettings } = await Promise.race([ended, begun(master, leaving.signal)]);
      print(`master ${master.pid}: reload begun`);
      if (staleSettings) sayStale();
    } finally {
      leaving.abort();
    }
  };
}

/** Resolves with what `status` says of the reload that is under way, once there is one. */
async function begun(master, signal) {
  for (;;) {
    const { reload: underWay } = await master.demand('status');
    if (underWay || signal.aborted) return underWay;
    await after(LOOK_AGAIN_MS);
  }
}

function sayStale() {
  print('  its event loop was blocked: script, directory and environment were not looked up again; a link that was ' +
    'switched is followed by the next reload');
}

// What is known of the worker that failed belongs into the line.
function explain(error) {
  const { exitCode = null, signal = null } = error.answer?.facts ?? {};
  const how = exitCode === null ? signal && `killed by ${signal}` : `exit code ${exitCode}`;
  throw how && !error.message.includes(how) ? new Failure(FAILED, `${error.message} (${how})`) : error;
}

// A reload that is under way is joined, and so is its fate.
function tellJoined(pid, status) {
  if (!status?.reload) return;
  const began = new Date(status.reload.began).toTimeString().slice(0, 8);
  print(`master ${pid}: joined the reload that began at ${began}; \`reload --restart\` begins a new one in its ` +
    'place, `reload --cancel` calls it off');
}

async function cancel(asked) {
  const { env, restart, strategy, wait } = asked.options;
  const other = Object.entries({ env, restart, strategy, wait }).find(([, value]) => value !== undefined);
  if (other) throw misused(`reload --cancel does not take --${other[0]}`, 'reload');
  await all(await find(asked), async (master) => {
    await master.demand('cancelReload', undefined, asked.within);
    print(`master ${master.pid}: the reload is cancelled`);
  });
}

async function recycle(asked) {
  const [text] = asked.operands;
  if (!/^[1-9]\d*$/.test(text)) throw misused(`recycle takes the pid of a worker, got '${text}'`, 'recycle');
  const pid = Number(text);
  const masters = await find(asked);
  const has = ({ status }) => status?.workers.some((worker) => worker.pid === pid);
  const its = masters.filter(has);
  if (its.length === 0) {
    const [problem] = masters.map((master) => master.problem).filter(Boolean);
    if (problem) throw problem;
    const pids = masters.flatMap(({ status }) => status?.workers ?? []).map((worker) => worker.pid).join(', ');
    throw new Failure(FAILED, `no cluster in ${asked.dir} has a worker ${pid}; there is ${pids || 'none'}`);
  }
  await all(its, async (master) => {
    await master.demand('recycle', { pid }, asked.within);
    print(`master ${master.pid}: worker ${pid} goes when its successor serves`);
  });
}

async function scale(asked) {
  const [text] = asked.operands;
  if (!/^[+-]?\d+$/.test(text)) throw misused(`scale takes a number, got '${text}'`, 'scale');
  const change = /^[+-]/.test(text) ? { by: Number(text) } : { workers: Number(text) };
  const masters = await find(asked);
  if (masters.length > 1) {
    const pids = masters.map(({ pid }) => pid).join(', ');
    throw misused(`several clusters run in ${asked.dir} (${pids}): say which one with --pid`, 'scale');
  }
  await all(masters, async (master) => {
    const { wanted } = await master.demand('scale', change, asked.within);
    print(`master ${master.pid}: ${counted(wanted)} wanted`);
  });
}

async function enable(asked) {
  await all(await find(asked), async (master) => {
    await master.demand('enable', undefined, asked.within);
    print(`master ${master.pid}: in rotation`);
  });
}

async function disable(asked) {
  await all(await find(asked), async (master) => {
    await master.demand('disable', { reason: asked.options.reason }, asked.within);
    print(`master ${master.pid}: out of rotation`);
  });
}

function environment(assignments) {
  return Object.fromEntries(assignments.map((text) => {
    const cut = text.indexOf('=');
    if (cut < 1) throw misused(`--env takes NAME=VALUE, got '${text}'`, 'reload');
    return [text.slice(0, cut), text.slice(cut + 1)];
  }));
}

module.exports = { reload, recycle, scale, enable, disable };
