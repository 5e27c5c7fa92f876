// A cluster as text: what `status` prints once and `top` again and again, made from a master's /status.json. Pure.
'use strict';

const { table, age, figure, plain } = require('./table');

const MEBIBYTE = 2 ** 20;

// Each column's head, and what stands under it for one worker and its figures.
const COLUMNS = [
  ['SLOT', ({ slot }) => (slot === null ? '-' : String(slot))],
  ['PID', ({ pid }) => String(pid)],
  ['STATE', ({ state }) => state],
  ['AGE', ({ forkedAt }, now) => age(now - Date.parse(forkedAt))],
  ['REQ/S', ({ requestsPerSecond }) => figure(requestsPerSecond, '', 1)],
  ['BUSY', ({ underWay }) => figure(underWay)],
  ['CONN', ({ connections }) => figure(connections)],
  ['P50', ({ p50 }) => figure(p50, 'ms', 1)],
  ['P99', ({ p99 }) => figure(p99, 'ms', 1)],
  ['LAG', ({ lag }) => figure(lag, 'ms')],
  ['LOOP', ({ utilisation }) => figure(percent(utilisation), '%')],
  ['CPU', ({ cpu }) => figure(cpu, '%')],
  ['RSS', ({ rss }) => figure(mebibytes(rss), 'MB')],
  ['HEAP', ({ heap }) => figure(mebibytes(heap), 'MB')],
];

/** The cluster's own lines and one per worker; at most `rows` of them where that is given. */
function describe(status, { now = Date.now(), rows = Infinity } = {}) {
  const workers = [...status.workers].sort(bySlot);
  const shown = workers.slice(0, Math.max(1, rows - 3));
  const lines = [headline(status, now), addresses(status)];
  const known = COLUMNS.filter(([, show]) => shown.some((worker) => show(worker, now) !== '-'));
  if (shown.length > 0) {
    const body = shown.map((worker) => known.map(([, show]) => show(worker, now)));
    lines.push(...table([known.map(([name]) => name), ...body]));
  }
  if (shown.length < workers.length) lines.push(`and ${workers.length - shown.length} more`);
  return lines.join('\n');
}

function headline({ pid, state, serving, wanted, started, ecv }, now) {
  const workers = `${serving} of ${wanted} ${wanted === 1 ? 'worker serves' : 'workers serve'}`;
  return `master ${pid}: ${state}, ${workers}, ${rotation(ecv)}, up ${age(now - Date.parse(started))}`;
}

function rotation({ enabled, leaving, by, reason }) {
  if (leaving) return 'leaving';
  if (enabled) return 'in rotation';
  return `out of rotation by ${plain(by ?? 'nobody known')}${reason ? ` (${plain(reason)})` : ''}`;
}

function addresses({ addresses: all }) {
  if (all.length === 0) return 'listens nowhere';
  const show = ({ path, address, port, family }) => {
    if (path !== undefined) return plain(path);
    return `${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  };
  return `listens on ${all.map(show).join(', ')}`;
}

// Spares and leaving workers, which have no slot, come last.
function bySlot(one, other) {
  return (one.slot ?? Infinity) - (other.slot ?? Infinity) || one.id - other.id;
}

function percent(part) {
  return typeof part === 'number' ? part * 100 : part;
}

function mebibytes(bytes) {
  return typeof bytes === 'number' ? bytes / MEBIBYTE : bytes;
}

module.exports = { describe };
