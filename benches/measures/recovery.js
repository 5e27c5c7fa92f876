// From kill -9 of the only worker to its successor's first answer, without and with a spare, and the start of the same
// application on its own for comparison.
'use strict';

const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');

const { signal } = require('../lib/processes');
const { median, ratio, spread } = require('../lib/statistics');
const { takeTurns } = require('../lib/turns');

const ROUNDS = 5;
// Longer than any wait of the back-off after a worker that has served.
const SETTLE_MS = 1500;
const SPARE_MS = 15_000;
const BARE = 'one process';
const WITHOUT = 'no spare';
const WITH = 'with a spare';

module.exports = {
  name: 'recovery',
  title: 'From kill -9 to the first answer',
  async run(bench) {
    const contestants = [{ name: BARE }];
    for (const [label, spares] of [[WITHOUT, 0], [WITH, 1]]) {
      const env = { BENCH_OPTIONS: JSON.stringify({ spares }) };
      contestants.push(await bench.start(bench.ours, { workers: 1, label, env }));
    }
    const results = await takeTurns(contestants, bench.rounds(ROUNDS), (contestant) =>
      (contestant.name === BARE ? startBare(bench) : killOnly(contestant)));
    const rows = Object.entries(results).map(([name, times]) => {
      const [low, high] = spread(times).map((ms) => ms.toFixed(0));
      return [name, median(times).toFixed(0), `${low} to ${high}`, ratio(times, results[BARE])];
    });
    return [{
      text: `A cluster of one worker, ${bench.rounds(ROUNDS)} kills; a client that asks at the moment of the death ` +
        'waits in the queue. "One process": from the fork of the same application on its own to its first answer.',
      rows: [['', 'ms', 'range', 'to one process'], ...rows],
    }];
  },
};

async function startBare(bench) {
  const contestant = await bench.start(BARE, { workers: 1 });
  const asked = performance.now();
  await answer(contestant.port);
  const ms = contestant.startMilliseconds() + performance.now() - asked;
  await contestant.end();
  return ms;
}

async function killOnly(contestant) {
  await sleep(SETTLE_MS);
  if (contestant.name === WITH) {
    const isReady = () => contestant.spares() >= contestant.listenings();
    await contestant.until(isReady, SPARE_MS, 'has no spare');
  }
  const killed = performance.now();
  signal(contestant.workers()[0], 'SIGKILL');
  await answer(contestant.port);
  return performance.now() - killed;
}

// A connection that the dead worker had taken before it knew of its death is lost, and the client asks again.
function answer(port) {
  return new Promise((resolve) => {
    const again = () => answer(port).then(resolve);
    http.get({ host: '127.0.0.1', port, agent: false }, (response) => response.resume().on('end', resolve))
      .on('error', again);
  });
}
