// Starts the application in PM2's cluster mode and passes on orders: the process that a user's `pm2` command would
// be. What is measured is PM2's daemon, which it starts below the private PM2_HOME, and the workers of that.
'use strict';

const path = require('node:path');
const { promisify } = require('node:util');

const pm2 = require(process.env.BENCH_PM2);
const { note } = require('./app');

const NAME = 'bench';

const commands = Object.fromEntries(['connect', 'start', 'reload', 'delete']
  .map((name) => [name, promisify(pm2[name].bind(pm2))]));

async function main() {
  await commands.connect();
  note({ master: pm2.Client.launchedPid ?? require('node:fs').readFileSync(process.env.PM2_PID_FILE_PATH, 'utf8') });
  note({ forking: performance.timeOrigin + performance.now() });
  await commands.start({
    name: NAME,
    script: path.join(__dirname, 'pm2-app.js'),
    exec_mode: 'cluster',
    instances: Number(process.env.BENCH_WORKERS),
  });
}

process.on('message', async (order) => {
  const began = performance.now();
  if (order.do === 'reload') await commands.reload(NAME);
  if (order.do === 'stop') await commands.delete(NAME);
  process.send({ done: order.do, ms: performance.now() - began });
});
process.on('disconnect', () => process.exit());

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
