// A worker that talks without pause: nothing is lost or out of order, and supervision goes on.
'use strict';

const assert = require('node:assert/strict');

const { reap, start } = require('../support');
const { ask } = require('../support/control');

describe('a worker that talks without pause', function () {
  this.timeout(60000);
  afterEach(reap);

  it('is heard in order, with handles and messages of the protocol in between, whatever listeners throw', async () => {
    const program = begin('order');
    const { args: [heard] } = await program.line('order', { within: 50000 });
    assert.deepEqual(heard, { count: 30000, disorder: null, handles: 30, thrown: 30 });
  });

  it('is lent a socket while the master is blocked', async () => {
    const program = begin('blocked');
    const { args: [ms] } = await program.line('lent a socket', { within: 50000 });
    assert.ok(ms < 3000, `${ms} ms`);
    await program.line('over', { within: 20000 });
  });

  it('is heard to its last word', async () => {
    const program = begin('dies');
    const { args: [last] } = await program.line('last words', { within: 50000 });
    assert.equal(last, 30500);
  });
});

describe('workers that say more than the supervisor takes in', function () {
  this.timeout(60000);
  afterEach(reap);

  it('keep nobody from the control socket', async () => {
    const program = begin('protocol');
    await program.line('listens');
    for (let round = 0; round < 20; round += 1) {
      const asked = Array.from({ length: 10 }, () => ask(program, 'status'));
      for (const { pid, message } of await Promise.all(asked)) assert.equal(pid, program.pid, message);
    }
  });
});

function begin(scenario) {
  return start('flood', { args: [scenario] });
}
