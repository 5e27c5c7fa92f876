// A worker sends thousands of messages of 1 KB to the master, more of them if the master's JavaScript is blocked.
'use strict';

const { askFor } = require('./ask-for');

module.exports = {
  every: 3,
  draw: (random) => ({ messages: random.whole(100, 8000) }),
  run: (target, { messages }) => askFor(target, 'flood', messages),
};
