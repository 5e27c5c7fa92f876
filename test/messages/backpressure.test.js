// Workers that say more than the master's JavaScript takes: supervision goes on, and nothing is lost.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');

const { eventually, reap, request, start } = require('../support');

describe('a master whose JavaScript is blocked', function () {
  this.timeout(60000);
  afterEach(reap);

  it('holds a bounded number of handles that workers send', async () => {
    const program = start('backpressure', { args: ['handles'] });
    const port = await ready(program, 2);
    const before = descriptors(program.pid);
    await request(port, { path: '/begin' });
    await program.line('blocked');
    let most = 0;
    await eventually(() => {
      most = Math.max(most, descriptors(program.pid));
      return program.seen('free').length > 0;
    });
    assert.ok(most - before < 250, `${most - before} descriptors more`);
    await program.line('all handles', { within: 30000 });
    await eventually(() => descriptors(program.pid) <= before + 5, { what: 'the handles are closed again' });
  });

  it('holds a bounded amount of what workers say to it, warnings included', async () => {
    const program = start('backpressure', { args: ['warnings'] });
    const port = await ready(program, 2);
    const before = residentMiB(program.pid);
    await request(port, { path: '/begin' });
    await program.line('blocked');
    let most = 0;
    await eventually(() => {
      most = Math.max(most, residentMiB(program.pid));
      return program.seen('free').length > 0;
    });
    assert.ok(most - before < 200, `${most - before} MiB more`);
    await program.line('all heard', { within: 30000 });
  });

  it('replaces a worker that dies while another one floods it', async () => {
    const program = start('backpressure', { args: ['flood'] });
    const port = await ready(program, 2);
    const { body: flooder } = await request(port, { path: '/begin' });
    await program.line('blocked');
    const crash = () => request(port, { path: `/crash/${flooder}`, within: 1000 }).then(() => false, () => true);
    await eventually(crash, { what: 'the other worker has crashed' });
    // A worker that is neither of the first two serves before the master is free.
    const first = program.seen('forked').map(({ args }) => String(args[0]));
    await eventually(async () => (await pids(port, 4)).some((pid) => !first.includes(pid)), { within: 2000 });
    assert.equal(program.seen('free').length, 0, 'the successor waited for JavaScript');
    await program.line('all heard', { within: 30000 });
  });

  it('carries what JSON can carry, beside a handle too', async () => {
    const program = start('backpressure', { args: ['odd'], options: { noWorkers: 1, ecv: { control: true } } });
    const port = await ready(program, 1);
    await request(port, { path: '/begin' });
    const odd = await program.lines('odd', 3);
    assert.deepEqual(odd.map(({ args: [fact] }) => fact), [
      { isServer: true, depth: 0, text: '\ud800' },
      { isServer: true, depth: 200 },
      { isServer: false, depth: 0, text: 'later' },
    ]);
    await program.line('disabled');
  });
});

describe('a worker that says what the master does not understand', function () {
  this.timeout(60000);
  afterEach(reap);

  it('is reported once, in a line, and goes on', async () => {
    const program = start('backpressure', { args: ['malformed'], options: { noWorkers: 1 } });
    const port = await ready(program, 1);
    await request(port, { path: '/begin' });
    await program.lines('warning', 1);
    await program.line('heard');
    const warnings = program.seen('warning').map(({ args: [{ message }] }) => message);
    assert.equal(warnings.length, 1, warnings);
    assert.match(warnings[0], /^worker 1 said something that is not understood: there is no act 'x+$/);
    assert.ok(warnings[0].length < 300, `${warnings[0].length} characters`);
    assert.equal((await request(port)).status, 200);
  });

  it('is reported when a message is too long to be read, and the next one is read', async () => {
    const program = start('backpressure', { args: ['too long'], options: { noWorkers: 1 } });
    const port = await ready(program, 1);
    await request(port, { path: '/begin' });
    const { args: [{ message }] } = await program.line('warning', { within: 30000 });
    assert.equal(message, 'a message of worker 1 was dropped: it is longer than 128 MiB');
    await program.line('heard');
  });
});

async function ready(program, workers) {
  await program.lines('listening', workers);
  const { args: [port] } = await program.line('port');
  return port;
}

async function pids(port, count) {
  const answers = await Promise.allSettled(Array.from({ length: count }, () => request(port, { within: 1000 })));
  return answers.filter(({ status }) => status === 'fulfilled').map(({ value }) => value.body);
}

function residentMiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
}

function descriptors(pid) {
  return fs.readdirSync(`/proc/${pid}/fd`).length;
}
