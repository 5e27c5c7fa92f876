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

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/**
 * How `ours` compares with `others`, as text: the median of the ratios of the rounds, and the lowest and highest.
 * Rounds of the same number ran one after the other, so their ratio says more than that of two medians.
 */
function ratio(ours, others) {
  const ratios = ours.map((value, round) => value / others[round]);
  const [low, high] = spread(ratios);
  return `${median(ratios).toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

module.exports = { median, ratio, spread, sum };
