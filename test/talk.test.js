// A worker that talks without pause: its channel is read by the thread of JavaScript itself, and nobody may notice.
'use strict';

const assert = require('node:assert/strict');

const { reap, start } = require('./support');

describe('a worker that talks without pause', function () {
  this.timeout(60000);
  afterEach(reap);

  it('is heard in order, with handles and messages of the protocol in between, whatever listeners throw', async () => {
    const program = begin('order');
    const { args: [heard] } = await program.line('order', { within: 50000 });
    assert.deepEqual(heard, { count: 30000, disorder: null, handles: 30, thrown: 30 });
    assert.ok(turns(program) > 1, 'the channel was lent, and lent again');
  });

  it('is lent a socket while the master is blocked, and its channel is not lent in vain', async () => {
    const program = begin('blocked');
    const { args: [ms] } = await program.line('lent a socket', { within: 50000 });
    assert.ok(ms < 3000, `${ms} ms`);
    const before = turns(program);
    assert.ok(before > 0, 'the channel was lent');
    await program.line('over', { within: 20000 });
    assert.ok(turns(program) <= before + 2, `lent ${before} times, then ${turns(program)}`);
  });

  it('is heard to its last word', async () => {
    const program = begin('dies');
    const { args: [last] } = await program.line('last words', { within: 50000 });
    assert.equal(last, 30500);
    assert.ok(turns(program) > 0, 'the channel was lent');
  });
});

// Debug lines tell when the channel is lent.
function begin(scenario) {
  return start('talk', { args: [scenario], env: { NODE_DEBUG: 'cluster2' } });
}

function turns({ stderr }) {
  return stderr.match(/: lent worker=/g)?.length ?? 0;
}
