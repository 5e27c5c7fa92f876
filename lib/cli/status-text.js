// A cluster as text: what `status` prints once and `top` again and again, made from a master's /status.json. Pure.
'use strict';

const { plain } = require('./plain');
const { table, age, figure, span } = require('./table');

const MEBIBYTE = 2 ** 20;

// Each column's head, and what stands under it for one worker, for its figures where they are known.
const COLUMNS = [
  ['WORKER', ({ id }) => (id === undefined ? '-' : String(id))],
  ['SLOT', ({ slot }) => (slot === null ? '-' : String(slot))],
  ['PID', ({ pid }) => (pid === undefined ? '-' : String(pid))],
  ['STATE', ({ state }) => state],
  ['AGE', ({ forkedAt }, now) => (forkedAt === undefined ? '-' : age(now - Date.parse(forkedAt)))],
  ['REQ/S', figureOf('requestsPerSecond', '', 1)],
  ['BUSY', figureOf('requestsUnderWay')],
  ['CONN', figureOf('connectionsOpen')],
  ['P50', figureOf('p50Ms', 'ms', 2)],
  ['P99', figureOf('p99Ms', 'ms', 2)],
  ['LAG', figureOf('loopLagMs', 'ms')],
  ['LOOP', figureOf('loopUtilisation', '%', 0, 0.01)],
  ['CPU', figureOf('cpuPercent', '%')],
  ['RSS', figureOf('rssBytes', 'MB', 0, MEBIBYTE)],
  ['HEAP', figureOf('heapUsedBytes', 'MB', 0, MEBIBYTE)],
];

/**
 * The cluster's own lines, one per worker, and as many of the last `events` as wanted. Where `rows` are given it is no
 * higher, and says how many workers are left out.
 */
function describe(status, { now = Date.now(), rows = Infinity, events = 0 } = {}) {
  const workers = [...status.workers, ...emptySlots(status)].sort(bySlot);
  const last = events === 0 ? [] : status.events.slice(-events);
  const crashes = crashLines(status, now);
  // Headline, addresses, heads, and the line that says how many are left out.
  const room = Math.max(1, rows - 4 - last.length - crashes.length);
  const shown = workers.length <= room + 1 ? workers : workers.slice(0, room);
  const lines = [headline(status, now), addresses(status), ...crashes];
  if (shown.length > 0) {
    const body = shown.map((worker) => COLUMNS.map(([, show]) => show(worker, now)));
    lines.push(...table([COLUMNS.map(([name]) => name), ...body]));
  }
  if (shown.length < workers.length) lines.push(`and ${workers.length - shown.length} more`);
  const told = ({ event, text }) => (text === '' ? event : `${event}: ${plain(text)}`);
  lines.push(...last.map((one) => `${clockOf(one.time)}  ${told(one)}`));
  return lines.join('\n');
}

// Slots that wait for their next try have no worker.
function emptySlots({ crashing = [], workers }) {
  const held = new Set(workers.map(({ slot }) => slot));
  return crashing.filter(({ slot }) => !held.has(slot)).map(({ slot }) => ({ slot, state: 'crashing' }));
}

// One line for all slots that die for the same reason.
function crashLines({ crashing = [] }, now) {
  const reasons = [...new Set(crashing.map(({ reason }) => reason))];
  return reasons.map((reason) => {
    const alike = crashing.filter((one) => one.reason === reason);
    const slots = alike.map(({ slot }) => slot).join(', ');
    const failures = Math.max(...alike.map((one) => one.failures));
    const times = alike.map(({ nextTry }) => nextTry).filter(Boolean);
    const tries = times.map((time) => Math.max(0, Date.parse(time) - now));
    const next = tries.length === 0 ? 'trying now' : `next try in ${span(Math.min(...tries))}`;
    const who = alike.length === 1 ? `slot ${slots} is` : `slots ${slots} are`;
    return `${who} crashing, ${failures} deaths in a row: ${plain(reason)}; ${next}`;
  });
}

function headline({ name, pid, state, serving, wanted, started, ecv }, now) {
  const workers = `${serving} of ${wanted} ${wanted === 1 ? 'worker serves' : 'workers serve'}`;
  const who = `master ${pid}${name ? ` '${plain(name)}'` : ''}`;
  return `${who}: ${state}, ${workers}, ${rotation(ecv)}, up ${age(now - Date.parse(started))}`;
}

function rotation({ enabled, leaving, by, reason }) {
  if (leaving) return 'leaving';
  if (enabled) return 'in rotation';
  return `out of rotation by ${plain(by ?? 'nobody known')}${reason ? ` (${plain(reason)})` : ''}`;
}

function addresses({ addresses: all }) {
  if (all.length === 0) return 'listens nowhere';
  const textOf = ({ path, address, port, family }) => {
    if (path !== undefined) return plain(path);
    return `${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  };
  return `listens on ${all.map(textOf).join(', ')}`;
}

function clockOf(time) {
  return new Date(time).toTimeString().slice(0, 8);
}

// Spares and leaving workers, which have no slot, come last.
function bySlot(one, other) {
  return (one.slot ?? Infinity) - (other.slot ?? Infinity) || (one.id ?? 0) - (other.id ?? 0);
}

function figureOf(name, unit, digits, size = 1) {
  return ({ figures }) => {
    const value = figures?.[name];
    return figure(typeof value === 'number' ? value / size : undefined, unit, digits);
  };
}

module.exports = { describe };
