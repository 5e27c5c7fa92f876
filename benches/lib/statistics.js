// Figures of several rounds, made into one.
'use strict';

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The lowest and the highest. */
function spread(values) {
  return [Math.min(...values), Math.max(...values)];
}

module.exports = { median, spread };
