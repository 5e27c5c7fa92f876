// The schedule of a run, drawn from its seed: the cluster's options, which faults are on, and when each is done.
//
// Each seed leaves faults out and sets the rates of the others, so that rare ones are not always drowned by frequent
// ones. The same seed and time give the same schedule; what comes of it is up to the machine.
'use strict';

const { FAULTS } = require('./faults');
const { Random } = require('./random');

const SHARE_OF_FAULTS = 0.4;
// How often workers run the application as it is, and the master none of it.
const SHARE_OF_SCRIPTS = 0.3;
const ENDINGS = ['SIGTERM', 'SIGINT', 'control'];

/**
 * Draws `{seed, seconds, options, isUser, isScript, faults, acts, ending}`; an act is
 * `{at (s), fault, ...its own figures}`.
 */
function draw(seed, seconds, only) {
  const random = new Random(seed);
  const options = drawOptions(random.branch());
  const ending = random.pick(ENDINGS);
  const isUser = random.chance(0.25);
  const acts = [];
  const faults = [];
  for (const [name, fault] of Object.entries(FAULTS)) {
    const own = random.branch();
    const isOn = own.chance(fault.share ?? SHARE_OF_FAULTS);
    const mean = fault.every * 2 ** own.between(-1, 1);
    if (only ? !only.includes(name) : !isOn) continue;
    faults.push(name);
    for (let at = own.gap(mean); at < seconds; at += own.gap(mean)) {
      acts.push({ at: Number(at.toFixed(3)), fault: name, ...fault.draw?.(own) });
    }
  }
  const isScript = random.chance(SHARE_OF_SCRIPTS);
  acts.sort((one, other) => one.at - other.at);
  return { seed, seconds, options, isUser, isScript, faults, acts, ending };
}

function drawOptions(random) {
  const scheduling = random.pick(['slots', 'slots', 'slots', 'shared', 'rr']);
  const sometimes = (share, options) => (random.chance(share) ? options : {});
  return {
    noWorkers: random.whole(1, 6),
    scheduling,
    keepAliveGrace: random.pick([500, 1000]),
    recycleTimeout: 8000,
    shutdownTimeout: 8000,
    killTimeout: 2000,
    connThreshold: 1e9,
    ...sometimes(0.2, { sticky: scheduling === 'slots' ? 'address' : 'none' }),
    ...sometimes(0.25, { spares: random.whole(1, 2) }),
    ...sometimes(0.25, { connThreshold: random.whole(200, 1000) }),
    ...sometimes(0.2, { requestThreshold: random.whole(200, 1000) }),
    ...sometimes(0.2, { hangTimeout: 1500 }),
    ...sometimes(0.15, { metrics: false }),
    ...sometimes(0.2, { backlog: random.whole(4, 64) }),
  };
}

module.exports = { draw };
