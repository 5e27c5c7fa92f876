// Node's `cluster` module shows our workers as it shows its own: events, arguments and facts, in the master and in
// workers.
'use strict';

const assert = require('node:assert/strict');

const { start, reap } = require('../support');

const SAME = [
  'nothing', 'worker disconnects', 'worker kills itself', 'worker closes the channel', 'worker exits', 'worker fails',
  'master disconnects', 'master kills with SIGKILL', 'master kills the process', 'master signals by number',
];
// SIGTERM, and an exception: a worker that loaded this package takes these its own way.
const RAW_ONLY = ['master kills', 'master destroys', 'worker throws'];

for (const master of ['raw', 'agent']) {
  describe(`Node's cluster module (${master})`, function () {
    this.timeout(30000);
    afterEach(reap);

    for (const what of master === 'agent' ? SAME : [...SAME, ...RAW_ONLY]) {
      it(`tells the same as with Node's own workers: ${what}`, async () => {
        const [ours, theirs] = await Promise.all([told(master, what), told('node', what)]);
        assert.deepEqual(ours.self, theirs.self, 'what the worker saw');
        assert.deepEqual(ours.cluster, theirs.cluster, 'events of cluster');
        assert.deepEqual(ours.worker, theirs.worker, 'events of the worker');
        assert.deepEqual(ours.listed, theirs.listed, 'facts at fork');
        assert.deepEqual(ours.gone, theirs.gone, 'facts at the end');
      });
    }

    if (master === 'agent') {
      it('lets a worker that has loaded this package drain when it is killed by SIGTERM', async () => {
        const { cluster, gone } = await told(master, 'master kills');
        const [, , , code, signal] = cluster.find(([event]) => event === 'exit');
        assert.deepEqual([code, signal], [0, null]);
        assert.equal(gone[0][0].killed, true);
      });
    }
  });
}

// All that was said in one scenario, by kind. 'exit' and 'disconnect' come in either order, even under Node's own
// cluster.
async function told(master, what) {
  const program = start('node-api', {
    options: { noWorkers: 1, restart: 'on-failure' },
    args: [what],
    env: { CLUSTER2_TEST_MASTER: master },
  });
  if (what === 'nothing') await program.line(({ args }) => args?.[1] === 'now' || args?.[3] === 'now');
  else await program.line('gone');
  await program.lines(({ event, args }) => event === 'worker' && args[1] === 'now', 1);
  const said = (kind) => program.seen(kind).map(({ args }) => args);
  const sorted = (kind) => {
    const events = said(kind);
    const end = events.findIndex(([event]) => ['exit', 'disconnect'].includes(event));
    if (end < 0) return events;
    return [...events.slice(0, end), ...events.slice(end).sort(([a], [b]) => (a < b ? -1 : 1))];
  };
  return {
    cluster: sorted('cluster'),
    worker: sorted('worker'),
    self: said('self'),
    listed: said('listed'),
    gone: said('gone'),
  };
}
