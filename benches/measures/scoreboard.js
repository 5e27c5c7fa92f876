// What it costs to count: the same requests with the scoreboard counted, without the flight recorder, and without both.
'use strict';

const { CLIENTS, WORKERS, loadInTurns } = require('../lib/throughput');
const { median, ratio } = require('../lib/statistics');

const VARIANTS = {
  'all counted (default)': {},
  'no flight recorder': { flightRecorder: false },
  'nothing counted': { metrics: false, flightRecorder: false },
};

module.exports = {
  name: 'scoreboard',
  title: 'Cost of the scoreboard',
  async run(bench) {
    const { results, rounds } = await loadInTurns(bench, 'kept', () => startVariants(bench));
    const off = Object.keys(VARIANTS).at(-1);
    const of = (name, key) => results[name].map((one) => one[key]);
    const rows = Object.keys(VARIANTS).map((name) => [
      name,
      median(of(name, 'perSecond')).toFixed(0),
      median(of(name, 'workersCpu')).toFixed(2),
      ...(name === off ? ['', ''] : ['perSecond', 'workersCpu'].map((key) => ratio(of(name, key), of(off, key)))),
    ]);
    return [{
      text: `${WORKERS} workers that say hello on ${CLIENTS} kept connections, the case in which counting weighs ` +
        `most. CPU is ms of the workers for 1,000 requests; ratios of ${rounds}, to those with nothing counted ` +
        '(`metrics: false`, `flightRecorder: false`).',
      rows: [['', 'req/s', 'workers CPU', 'req/s, ratio', 'CPU, ratio'], ...rows],
    }];
  },
};

async function startVariants(bench) {
  const contestants = [];
  for (const [label, options] of Object.entries(VARIANTS)) {
    const env = { BENCH_OPTIONS: JSON.stringify(options) };
    contestants.push(await bench.start(bench.ours, { workers: WORKERS, label, env }));
  }
  return contestants;
}
