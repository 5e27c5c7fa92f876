// What a worker tells the master about itself: internal messages on the channel, which the application never sees.
//
// The application may replace `process.send`, or take it away. So all messages of this package go through the function
// that was there when the package was loaded.
'use strict';

const INTERNAL = 'NODE_CLUSTER2';
const { send: sendOfNode } = process;

/** As `process.send` in Node. What can't be written throws; `callback` hears what fails later. */
function send(message, handle, callback = ignore) {
  Reflect.apply(sendOfNode, process, [message, handle, undefined, callback]);
}

/**
 * Says it if there still is a master; the channel may close at any moment, and then there is nobody to tell. Gives
 * whether there was.
 */
function tell(message) {
  if (process.connected) send({ cmd: INTERNAL, ...message });
  return process.connected;
}

module.exports = { send, tell, INTERNAL };

function ignore() {}
