// What a worker and a process without workers have in common, beside the servers: the answer for balancers, the figures
// about the process itself, and its end.
//
// lib/worker/worker.js and lib/single.js call it once, before anything is handed over.
'use strict';

const { Ending } = require('../shared/application-end');
const { onMissing } = require('../shared/node-internals');
const { countTransactions } = require('./counting/transactions');
const { VitalSigns } = require('./counting/vital-signs');
const { Leaving } = require('./leaving');

/**
 * Has `servers` serve as the options say, counts into `board`, and gives `{ending, leaving}`. `host` is for
 * lib/worker/serving/ecv.js; `balance` gives connections back, where there are other workers; `warn(problem)` tells an
 * operator; `exit()` ends the process.
 */
function beginService(cluster, setup, { servers, board, host, balance, warn, exit }) {
  const { cleanups, parsed } = setup;
  const ecv = parsed.ecv ? new (require('./serving/ecv').Ecv)(setup, board, host) : undefined;
  servers.use(cluster, parsed, { ecv, balance });
  onMissing(warn);
  countTransactions(cluster, board);
  const signs = new VitalSigns(board);
  signs.also(() => servers.traffic.look());
  signs.start(parsed.metrics);
  const ending = new Ending(cleanups, warn);
  return { ending, leaving: new Leaving(servers, ending, parsed, exit) };
}

module.exports = { beginService };
