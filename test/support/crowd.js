// A crowd of clients on one port; see crowd-client.js. Owns its process until `leave`, which every test calls.
'use strict';

const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');

const { eventually } = require('./wait');

/** Starts the crowd: `{clients, paths, reads}`. Resolves once every client has been connected. */
async function crowd(port, { clients, paths, reads = true }) {
  const options = JSON.stringify({ port, clients, paths, reads });
  const child = fork(path.join(__dirname, 'crowd-client.js'), [options], { execArgv: [] });
  const ended = once(child, 'exit');
  const state = { connected: 0, answered: 0 };
  child.on('message', (message) => Object.assign(state, message));
  const leave = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    await eventually(() => state.connected >= clients, { what: `${clients} clients connected` });
  } catch (error) {
    await leave();
    throw error;
  }
  return { state, leave };
}

module.exports = { crowd };
