// Ends clusters from outside, as the arguments say: `stop` and `shutdown` call the methods, `option stop` and
// `option shutdown` use the options.
'use strict';

const Cluster = require('../support/cluster');
const { report, reportEvents } = require('../support/report');

const [how, what] = process.argv.slice(2);
const { pids } = JSON.parse(process.env.CLUSTER2_TEST_OPTIONS ?? '{}');
const events = ['forked', 'listening', 'died', 'SIGTERM', 'SIGINT', 'SIGKILL'];

if (how === 'option') {
  const c = new Cluster({ pids, [what]: true });
  reportEvents(c, ...events);
  c.listen(() => report('createApp'), () => report('callback'));
} else {
  const c = new Cluster({ pids });
  reportEvents(c, ...events);
  c[how]().then(() => report('ended'), (error) => report('failed', error.code, error.message));
}
