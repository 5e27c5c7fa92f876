// Arithmetic of times: lists of `[from, to]`.
'use strict';

/** The same times, in order and without overlaps. */
function union(intervals) {
  const result = [];
  for (const [from, to] of [...intervals].sort(([one], [other]) => one - other)) {
    const last = result.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else result.push([from, to]);
  }
  return result;
}

/** What is left of times when others are taken away. */
function without(intervals, others) {
  let left = intervals;
  for (const [start, end] of others) {
    left = left.flatMap(([from, to]) => {
      if (end <= from || start >= to) return [[from, to]];
      return [[from, start], [end, to]].filter(([begin, over]) => begin < over);
    });
  }
  return left;
}

/** How much of the time from `from` to `to` lies in times that have no overlaps. */
function overlap(intervals, from, to) {
  return intervals.reduce((sum, [start, end]) => sum + Math.max(0, Math.min(end, to) - Math.max(start, from)), 0);
}

module.exports = { union, without, overlap };
