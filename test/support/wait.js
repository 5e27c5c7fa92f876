// Waiting for what should happen, with a deadline: what every test uses in place of a sleep. Owns nothing.
'use strict';

const { setTimeout: after } = require('node:timers/promises');

// Long enough for a busy machine: a deadline bounds only tests that fail.
const PATIENCE_MS = Number(process.env.CLUSTER2_TEST_PATIENCE ?? 10000);
const LOOK_AGAIN_MS = 10;

/** Resolves with the first truthy result of `condition`, sync or async; rejects after `within` ms, naming `what`. */
async function eventually(condition, { within = PATIENCE_MS, what = String(condition) } = {}) {
  const deadline = Date.now() + within;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not within ${within} ms: ${what}`);
    await after(LOOK_AGAIN_MS);
  }
}

/** Rejects when `promise` has not settled after `within` ms; `what` may be a function that describes it then. */
function inTime(promise, what, within = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    const fail = () => reject(new Error(`not within ${within} ms: ${typeof what === 'function' ? what() : what}`));
    timer = setTimeout(fail, within);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

module.exports = { eventually, inTime, PATIENCE_MS };
