// Texts that people read: columns, ages, numbers. Pure.
'use strict';

const UNITS = [['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]];

/** Lines with one column under the other; a column is left- or, where all of it are figures, right-aligned. */
function table(rows) {
  const widths = rows[0].map((_, at) => Math.max(...rows.map((row) => row[at].length)));
  const isFigures = rows[0].map((_, at) => rows.slice(1).every((row) => /^(-|[\d.,]+( ?\S+)?)$/.test(row[at])));
  const pad = (text, at) => (isFigures[at] ? text.padStart(widths[at]) : text.padEnd(widths[at]));
  return rows.map((row) => row.map(pad).join('  ').trimEnd());
}

/** The two largest units of a time in ms, such as `3 h 12 min`. */
function age(ms) {
  let left = Math.max(0, Math.round(ms / 1000));
  const parts = UNITS.map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return [count, unit];
  });
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2).filter(([count]) => count > 0).map((part) => part.join(' ')).join(' ');
}

/** A number as it fits into a column; what isn't known is `-`. */
function figure(value, unit = '', digits = 0) {
  if (typeof value !== 'number') return '-';
  return `${value.toFixed(digits)}${unit && ` ${unit}`}`;
}

/** A length of time, given in ms: `80 ms` or `1.5 s`. */
function span(ms) {
  return ms < 950 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function counted(workers) {
  return workers === 1 ? '1 worker' : `${workers} workers`;
}

module.exports = { table, age, counted, figure, span };
