// Contestants that take turns: in every round each of them has its turn, in an order that rotates, so that what else
// the machine does meets them all alike.
'use strict';

/** Calls `measure(contestant, round)` for each in each round; resolves with `{name: [figures of each round]}`. */
async function takeTurns(contestants, rounds, measure) {
  const results = Object.fromEntries(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < contestants.length; turn += 1) {
      const contestant = contestants[(round + turn) % contestants.length];
      results[contestant.name].push(await measure(contestant, round));
    }
  }
  return results;
}

module.exports = { takeTurns };
