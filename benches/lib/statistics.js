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

/**
 * A comparison with a peer, for the list of what this package is behind in: figures of the rounds, of which fewer (or
 * with `better: 'higher'`, more) is better, and the known `cause` where it is worse by more than a fiftieth.
 */
function compare(what, peer, ours, others, { better = 'lower', cause }) {
  const middle = median(ours.map((value, round) => value / others[round]));
  const isBehind = better === 'lower' ? middle > 1.02 : middle < 0.98;
  return { what, peer, told: ratio(ours, others), isBehind, cause };
}

/** The same of events that should not happen at all: all rounds together. */
function compareCounts(what, peer, ours, others, { cause }) {
  const [mine, theirs] = [sum(ours), sum(others)];
  return { what, peer, told: `${mine} against ${theirs}`, isBehind: mine > theirs, cause };
}

module.exports = { compare, compareCounts, median, ratio, spread, sum };
