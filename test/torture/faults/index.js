// The faults, in the order of their worth. Each is `{every, share, draw, run}`: how many seconds apart in the mean, in
// which share of the seeds, what is drawn from the seed for one, and what it does to the target.
'use strict';

const FAULTS = {
  kill: require('./kill'),
  freeze: require('./freeze'),
  block: require('./block'),
  abort: require('./abort'),
  reload: require('./reload'),
  recycle: require('./recycle'),
  scale: require('./scale'),
  ecv: require('./ecv'),
  'kill-master': require('./kill-master'),
  'freeze-master': require('./freeze-master'),
  'block-master': require('./block-master'),
  flood: require('./flood'),
  'slow-clients': require('./slow-clients'),
  burst: require('./burst'),
  descriptors: require('./descriptors'),
  'no-forks': require('./no-forks'),
  starve: require('./starve'),
};

module.exports = { FAULTS };
