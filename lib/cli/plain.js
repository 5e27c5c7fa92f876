// Text from outside that is shown on a terminal: a name, a reason, a path. Pure.
'use strict';

const { inspect } = require('node:util');

/** The text on one line, without what a terminal would obey. */
function plain(text) {
  return /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u.test(text) ? text : inspect(text);
}

module.exports = { plain };
