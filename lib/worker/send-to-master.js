// What a worker tells the master about itself: internal messages on the channel, which the application never sees.
'use strict';

const INTERNAL = 'NODE_CLUSTER2';

/**
 * Says it if there still is a master; the channel may close at any moment, and then there is nobody to tell. Gives
 * whether there was.
 */
function tell(message) {
  if (process.connected) process.send({ cmd: INTERNAL, ...message }, undefined, undefined, () => {});
  return process.connected;
}

module.exports = { tell, INTERNAL };
