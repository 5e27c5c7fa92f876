// What the monitor's page costs the master while nobody looks at it, and while many browsers do.
'use strict';

const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');

const { freePort } = require('../lib/contestants');
const { cpuMilliseconds, memory } = require('../lib/processes');

const SIZES = [4, 64];
const WATCHERS = 50;
const SECONDS = 6;
const SETTLE_MS = 2000;

module.exports = {
  name: 'watch',
  title: 'Watching the page',
  async run(bench) {
    const rows = [];
    for (const workers of bench.isQuick ? SIZES.slice(0, 1) : SIZES) {
      const env = { BENCH_OPTIONS: JSON.stringify({ monPort: await freePort() }) };
      const contestant = await bench.start(bench.ours, { workers, env });
      await sleep(SETTLE_MS);
      rows.push([`${workers} workers, nobody`, ...await weigh(contestant.master, bench.seconds(SECONDS)), '']);
      const streams = await Promise.all(Array.from({ length: WATCHERS }, () => watch(contestant.monitor)));
      const found = await weigh(contestant.master, bench.seconds(SECONDS));
      const bytes = streams.reduce((sum, stream) => sum + stream.bytes, 0) / WATCHERS;
      rows.push([`${workers} workers, ${WATCHERS} browsers`, ...found, (bytes / 1024).toFixed(0)]);
      for (const { request } of streams) request.destroy();
      await contestant.end();
    }
    return [{
      text: `An idle cluster, ${bench.seconds(SECONDS)} s each: CPU is the master's, in percent of one core; its ` +
        'resident memory in MB at the beginning and at the end; what each browser was sent, in kB.',
      rows: [['', 'CPU %', 'MB before', 'MB after', 'kB'], ...rows],
    }];
  },
};

async function weigh(pid, seconds) {
  const [cpu, size, at] = [cpuMilliseconds(pid), memory(pid).rss, performance.now()];
  await sleep(seconds * 1000);
  const share = (cpuMilliseconds(pid) - cpu) / (performance.now() - at) * 100;
  return [share.toFixed(2), size.toFixed(1), memory(pid).rss.toFixed(1)];
}

/** An open stream of events, as the page opens one; resolves when its first bytes have come. */
function watch(port) {
  const stream = { bytes: 0 };
  return new Promise((resolve, reject) => {
    stream.request = http.get({ host: '127.0.0.1', port, path: '/status.stream', agent: false }, (response) => {
      response.on('data', (part) => {
        stream.bytes += part.length;
        resolve(stream);
      });
      // It is cut off at the end.
      response.on('error', () => {});
    });
    stream.request.on('error', reject);
  });
}
