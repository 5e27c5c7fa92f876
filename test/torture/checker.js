// Judges a history: each request was answered rightly, or its loss is excused; each invariant held.
//
// Excused is what a worker had accepted that was killed on purpose, and what a killed master's workers had. A request
// may take `BOUND_MS`, and the time for which its own worker, or all, stood still or a worker waited for a processor.
'use strict';

const { told } = require('./history');
const { overlap, union, without } = require('./intervals');

const BOUND_MS = 2000;
// A SYN that finds a queue full is repeated after 1 s, 3 s and 7 s.
const FULL_QUEUE_MS = 8000;
// How long a shutdown waits for workers to empty the queues, all of whom may stand still.
const CLOSING_MS = 2000;
// Waits for a processor are summed up so.
const BUCKET_MS = 250;
// Clocks of processes that tell when something happened.
const SLACK_MS = 150;
// What waits for a worker that dies waits for its successor, too.
const AFTERMATH_MS = 1000;

/** All violations of a history, `{at, rule, text}`, and counts for the line of the seed. */
function judge(history, options) {
  const context = new Context(history, options);
  const violations = [
    ...history.faultsFound,
    ...judgeRequests(history, context),
    ...judgeGaps(history, context),
    ...judgeDeaths(history, context),
    ...judgeOrders(history, context),
    ...judgeCounters(history, context),
    ...judgeTally(history, context),
    ...judgeHealth(history),
  ];
  return { violations: violations.sort((one, other) => one.at - other.at), excused: context.excused };
}

/** What many rules ask of a history. */
class Context {
  #history;
  #options;
  #deaths = new Map();
  #kills;
  #nobody;
  #everybody;
  #waits;
  excused = 0;

  constructor(history, options) {
    this.#history = history;
    this.#options = options;
    const isOther = ({ pid, diedAt, signal, code }) => diedAt < Infinity && (signal ?? code) !== 0
      && !history.kills.some((kill) => kill.pid === pid);
    const others = history.workers.filter(isOther);
    this.#kills = [...history.kills, ...others.map((worker) => ({ at: this.#endOf(worker), pid: worker.pid }))];
    for (const worker of history.workers) this.#deaths.set(worker.pid, worker);
    this.#everybody = union([
      ...history.outages.map(({ from, to }) => [from, to + SLACK_MS]),
      ...history.holds.filter(({ who }) => who === 'all').map(({ from, to }) => [from, to]),
    ]);
    this.#nobody = this.#timesWithoutWorkers();
    this.#waits = longestWaits([...history.waits.values()]);
  }

  get options() {
    return this.#options;
  }

  worker(pid) {
    return this.#deaths.get(pid);
  }

  /** Deaths by violence: on purpose, of a worker that hung, or of one that nobody should have killed, which is told. */
  killsWithin(from, to) {
    return this.#kills.filter(({ at }) => at >= from - SLACK_MS && at <= to + SLACK_MS);
  }

  /** When a worker died by violence; undefined if it did not. */
  killedAt(pid) {
    return this.#kills.find((kill) => kill.pid === pid)?.at;
  }

  // The master's word may come late; from its end on a process waits for no processor.
  #endOf({ pid, diedAt }) {
    const last = this.#history.waits.get(pid)?.at(-1)?.at ?? Infinity;
    return Math.min(diedAt, last + SLACK_MS);
  }

  holdsOf(pid) {
    return this.#history.holds.filter(({ who }) => who === pid);
  }

  /** Whether there was no master at some time in between. */
  isOutage(from, to) {
    return this.#history.outages.some((outage) => outage.from <= to + SLACK_MS && outage.to >= from - SLACK_MS);
  }

  /** Whether the master had no descriptors left, or could not fork, in between or a moment before. */
  isShort(begin, end) {
    return this.#history.shortages.some(({ from, to }) => end >= from && begin <= to + BOUND_MS);
  }

  /** For how long the clients, or everybody, stood still. */
  stalled(from, to) {
    return overlap(this.#everybody, from, to);
  }

  /** For how long nobody could have answered, whoever it was. */
  idleTime(from, to) {
    return overlap(union([...this.#nobody, ...this.#everybody]), from, to) + this.#waited(from, to);
  }

  // For how long workers waited for a processor: at each time, the one that waited most.
  #waited(from, to) {
    let sum = 0;
    for (let at = Math.floor(from / BUCKET_MS); at <= to / BUCKET_MS; at += 1) sum += this.#waits.get(at) ?? 0;
    return sum;
  }

  /** For how long an answer to this connection may have been held up. */
  heldUp(connection, from, to) {
    const place = `${connection.address}:${connection.port}`;
    const isSticky = this.#options.sticky === 'address';
    const isUnknown = connection.pid === undefined || connection.port === undefined;
    // A worker that stands still accepts nothing: what it has not accepted before must not wait for it.
    const isTaken = ({ who, from: since, ports }) => (ports ? ports.has(place)
      : who === connection.pid && connection.openedAt <= since + SLACK_MS);
    const isOurs = (hold) => typeof hold.who === 'number' && (isSticky || isUnknown || isTaken(hold));
    const holds = this.#history.holds.filter(isOurs).map((hold) => [hold.from, hold.to]);
    const held = union([...this.#nobody, ...this.#everybody, ...holds, ...this.#mastersPart(from, to)]);
    return overlap(held, from, to) + this.#waited(from, to);
  }

  // A master that stands still or has no descriptors holds up what goes through it: with `rr` all, else what waits for
  // the help of others.
  #mastersPart(from, to) {
    const holds = this.#history.holds.filter(({ who }) => who === 'master');
    const stops = [...holds, ...this.#history.shortages].map((stop) => [stop.from, stop.to]);
    const isNeeded = this.#options.scheduling === 'rr'
      || this.killsWithin(from - AFTERMATH_MS, to).length > 0
      || this.#history.holds.some((hold) => typeof hold.who === 'number' && hold.from <= to && hold.to >= from);
    return isNeeded ? stops : [];
  }

  // When no worker listened that was not held.
  #timesWithoutWorkers() {
    const free = this.#history.workers.flatMap(({ pid, master, listeningAt, drainingAt, diedAt }) => {
      const killed = this.#history.kills.find((kill) => kill.pid === pid)?.at ?? Infinity;
      const orphaned = this.#history.outages[master]?.from ?? Infinity;
      const until = Math.min(drainingAt, diedAt, killed, orphaned);
      if (!(until > listeningAt)) return [];
      return without([[listeningAt, until]], this.holdsOf(pid).map(({ from, to }) => [from, to]));
    });
    return without([[this.#history.begunAt, Infinity]], union(free));
  }
}

module.exports = { judge };

// The longest wait of any worker in each bucket of time.
function longestWaits(workers) {
  const longest = new Map();
  for (const samples of workers) {
    const own = new Map();
    samples.forEach(({ at, ms }, index) => {
      const bucket = Math.floor(at / BUCKET_MS);
      own.set(bucket, (own.get(bucket) ?? 0) + ms - (samples[index - 1]?.ms ?? 0));
    });
    for (const [bucket, ms] of own) longest.set(bucket, Math.max(longest.get(bucket) ?? 0, ms));
  }
  return longest;
}

function* judgeRequests(history, context) {
  for (const request of history.requests) {
    if (!(request.endedAt < history.brokenAt)) continue;
    if (request.outcome === 'ok') {
      if (isLate(request, context)) yield { at: request.endedAt, rule: 'slow', text: told(request) };
    } else if (isExcused(request, history, context)) {
      if (request.outcome !== 'refused') context.excused += 1;
    } else {
      yield { at: request.endedAt, rule: request.outcome, text: told(request) };
    }
  }
}

function isLate({ connection, what, askedAt, endedAt }, context) {
  if (endedAt - askedAt <= BOUND_MS) return false;
  const queue = what === 'connect' && context.options.backlog ? FULL_QUEUE_MS : 0;
  return endedAt - askedAt > BOUND_MS + queue + context.heldUp(connection, askedAt, endedAt);
}

function isExcused(request, history, context) {
  const { connection, endedAt, outcome } = request;
  if (outcome === 'wrong') return false;
  if (context.isOutage(connection.openedAt, endedAt)) return true;
  if (outcome === 'refused') return endedAt >= history.endingAt;
  if (outcome === 'hung') return !isLate(request, context);
  const worker = context.worker(connection.pid);
  if (outcome === 'goodbye') return worker?.drainingAt <= endedAt + SLACK_MS;
  if (worker) {
    if (Math.abs(context.killedAt(worker.pid) - endedAt) < BOUND_MS) return true;
    return worker.drainingAt < endedAt && isPatientTooLong(request, context);
  }
  const { openedAt } = connection;
  const isDrained = history.workers.some(({ drainingAt }) => drainingAt > openedAt && drainingAt < endedAt);
  if (isDrained && isPatientTooLong(request, context)) return true;
  if (history.endingAt < endedAt && context.idleTime(history.endingAt, endedAt) >= CLOSING_MS - SLACK_MS) return true;
  const place = `${connection.address}:${connection.port}`;
  return context.killsWithin(connection.openedAt, endedAt)
    .some(({ ports }) => !ports || connection.port === undefined || ports.has(place));
}

// A client that asks later than the grace may find its idle connection closed. What it read late was sent before.
function isPatientTooLong({ connection: { openedAt, answeredAt }, askedAt, endedAt }, context) {
  const { keepAliveGrace } = context.options;
  const idle = answeredAt > 0 ? askedAt - answeredAt : 0;
  return idle + context.stalled((answeredAt || openedAt) - keepAliveGrace, endedAt) > keepAliveGrace * 0.8;
}

// Somebody served at all times at which somebody could.
function* judgeGaps(history, context) {
  const answers = history.requests.filter(({ what, outcome }) => what !== 'connect' && outcome === 'ok')
    .map(({ endedAt }) => endedAt).filter((at) => at < history.quietFrom).sort((one, other) => one - other);
  for (let at = 1; at < answers.length; at += 1) {
    const [from, to] = [answers[at - 1], answers[at]];
    if (to - from > BOUND_MS && to - from > BOUND_MS + context.idleTime(from, to)) {
      const excused = Math.round(context.idleTime(from, to));
      yield { at: to, rule: 'nobody served', text: `for ${to - from} ms, of which ${excused} are excused` };
    }
  }
}

// No worker dies that nobody has killed, but those that stood still when they should have gone.
function* judgeDeaths(history, context) {
  for (const worker of history.workers) {
    const { pid, listeningAt, diedAt, drainingAt, signal, code, reason, isHung, master } = worker;
    if (diedAt === Infinity || (code === 0 && !signal)) continue;
    if (history.kills.some((kill) => kill.pid === pid)) continue;
    const wasHeld = overlap(union(context.holdsOf(pid).map(({ from, to }) => [from, to])), 0, diedAt) > 0;
    if (isHung && context.options.hangTimeout) continue;
    if (wasHeld && drainingAt < Infinity) continue;
    // Sent away while it booted, which takes long on a busy machine: it heard of it too late, and had no clients.
    if (listeningAt === Infinity && /^(did not finish in time|given up)/.test(reason)) continue;
    if (reason.includes('EMFILE') && context.isShort(diedAt, diedAt)) continue;
    if (wasHeld && signal === 'SIGKILL') continue;
    yield { at: diedAt, rule: 'a death', text: `worker ${pid} of master ${master}: ${signal ?? code}, ${reason}` };
  }
}

// A reload succeeds where no worker was killed or stood still.
function* judgeOrders(history, context) {
  for (const { what, from, to, ok, code, ...more } of history.orders) {
    if (ok || context.isOutage(from, to) || context.isShort(from, to)) continue;
    if (context.killsWithin(from, to).length > 0) continue;
    const isReplaced = history.acts.some(({ at, fault, text }) => fault === what && at > from && at < to
      && text.includes('"restart":true'));
    if (isReplaced) continue;
    yield { at: to, rule: what, text: `${code} ${JSON.stringify(more)}` };
  }
}

// No total falls, and the monitor always answers.
function* judgeCounters(history, context) {
  const last = new Map();
  for (const { from, to, master, counters, problem, isSure } of history.scrapes) {
    if (!counters) {
      const held = history.holds.some(({ who, ...hold }) => who === 'master' && hold.from < to && hold.to > from);
      // Clients of the monitor give way where descriptors are short.
      const isExcused = held || context.isOutage(from, to) || context.isShort(from, to);
      if (isSure && !isExcused && from < history.endingAt) {
        yield { at: to, rule: 'metrics', text: `no answer: ${problem}` };
      }
      continue;
    }
    for (const [name, value] of counters) {
      const before = last.get(name);
      if (before?.master === master && value < before.value) {
        yield { at: to, rule: 'a total falls', text: `${name} from ${before.value} to ${value}` };
      }
      last.set(name, { master, value });
    }
    for (const [name, before] of last) {
      if (before.master === master && !counters.has(name)) {
        yield { at: to, rule: 'a total is gone', text: name };
        last.delete(name);
      }
    }
  }
}

// The master has counted each request that was answered, and none that nobody sent.
function* judgeTally({ tally, requests, outages, others }, { options }) {
  if (!tally?.counters || options.metrics === false) return;
  const total = tally.counters.get('cluster2_http_requests_total');
  const since = outages.at(-1);
  let [least, most] = [0, others];
  for (const { connection: { kind, openedAt }, what, endedAt, outcome } of requests) {
    if (endedAt > tally.from || kind === 'raw' || (what === 'connect') !== (kind === 'webSocket')) continue;
    const isSure = openedAt >= (since?.to ?? 0);
    if (outcome === 'ok' && isSure && kind !== 'webSocket') least += Number(/^\d+(?= times)/.exec(what)?.[0] ?? 1);
    if (openedAt >= (since?.from ?? 0)) most += Number(/^\d+(?= times)/.exec(what)?.[0] ?? 1);
  }
  if (total < least || total > most) {
    yield { at: tally.to, rule: 'a total', text: `${total} requests, of ${least} to ${most}` };
  }
}

// ECV says what the last order before the question said, or one that was under way meanwhile.
function* judgeHealth(history) {
  for (const { from, to, word, where, master } of history.health) {
    if (to >= history.endingAt) continue;
    const orders = history.switches.filter((order) => order.master === master && order.from <= to);
    // The orders that may have been the last one when the answer was made.
    const overtaken = Math.max(0, ...orders.filter((order) => order.to < from).map((order) => order.from));
    const possible = orders.filter((order) => order.to >= overtaken).map(({ isEnabled }) => isEnabled);
    if (overtaken === 0) possible.push(true);
    const isEnabled = word !== 'DISABLED';
    if (!possible.includes(isEnabled)) yield { at: to, rule: 'ECV', text: `${word} from the ${where}` };
  }
}
