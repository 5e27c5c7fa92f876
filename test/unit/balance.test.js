// Which fresh connections a worker gives back, on a board and with a socket of the test's own.
'use strict';

const assert = require('node:assert/strict');

const { Balance } = require('../../lib/worker/serving/balance');
const { clock } = require('../../lib/worker/counting/scoreboard');
const { ShortConnections } = require('../../lib/worker/counting/short-connections');
const { eventually } = require('../support');

const PLACES = { takers: 0, takerRows: 1, loads: 10 };

// What counts it, in place of lib/worker/counting/traffic.js.
let served;

// Named as Node's own, which is how it is known, and with a `close` of its own, which one has that the master lent.
class TCP {
  served = [];
  close = () => {};

  onconnection(status, client) {
    this.served.push(client);
    served();
  }
}

class Client {
  isClosed = false;

  close() {
    this.isClosed = true;
  }
}

describe('a worker that compares its connections with those of others', () => {
  let sent;
  let lastSeq;
  let answer;
  let handle;
  let header;
  let short;
  let balance;
  const before = {};

  beforeEach(() => {
    sent = [];
    answer = null;
    before.listeners = ['internalMessage', 'disconnect'].map((event) => [event, process.listeners(event)]);
    const sendToMaster = ({ seq }, client, callback) => {
      lastSeq = seq;
      sent.push(client);
      process.nextTick(callback, answer);
    };
    handle = new TCP();
    header = new Float64Array(20);
    header.set([3, 0, 1, 2], PLACES.takers);
    short = new ShortConnections();
    const addLoad = (more) => { header[PLACES.loads] += more; };
    served = () => addLoad(1);
    const board = { isShared: true, row: 0, header, layout: { header: PLACES }, addLoad };
    balance = new Balance(board, short, sendToMaster);
    balance.watch({ _handle: handle });
  });

  afterEach(() => {
    for (const [event, known] of before.listeners) {
      for (const listener of process.listeners(event)) {
        if (!known.includes(listener)) process.removeListener(event, listener);
      }
    }
  });

  const load = (...loads) => header.set(loads, PLACES.loads);

  function arrive(client = new Client()) {
    handle.onconnection(0, client);
    return client;
  }

  const isServed = (client) => handle.served.includes(client);
  const decided = (client) => eventually(() => isServed(client) || sent.includes(client));

  it('serves at once what is not clearly more than others have', () => {
    for (const loads of [[0, 0, 0], [1, 0, 0], [6, 5, 9], [43, 40, 40]]) {
      load(...loads);
      assert.ok(isServed(arrive()), loads.join());
    }
    assert.deepEqual(sent, []);
  });

  it('gives back what is, and closes its own end when the master has it', async () => {
    load(2, 0, 5);
    const client = arrive();
    assert.ok(!isServed(client));
    await eventually(() => sent.length > 0);
    assert.ok(!client.isClosed);
    process.emit('internalMessage', { cmd: 'NODE_CLUSTER2', act: 'excess', ack: lastSeq, isTaken: true });
    assert.ok(client.isClosed);
    assert.deepEqual([sent, handle.served], [[client], []]);
  });

  it('serves what did not arrive in the master', async () => {
    load(2, 0, 5);
    const client = arrive();
    await eventually(() => sent.length > 0);
    process.emit('internalMessage', { cmd: 'NODE_CLUSTER2', act: 'excess', ack: lastSeq, isTaken: false });
    assert.deepEqual([handle.served, client.isClosed], [[client], false]);
  });

  it('says when the master has answered for all that it gave back', async () => {
    assert.equal(balance.isSettled, true);
    load(5, 0, 0);
    const clients = [arrive(), arrive()];
    await eventually(() => sent.length === 2);
    assert.equal(balance.isSettled, false);
    let isSettled = false;
    const settled = balance.settled().then(() => { isSettled = true; });
    const answered = { cmd: 'NODE_CLUSTER2', act: 'excess' };
    process.emit('internalMessage', { ...answered, ack: lastSeq - 1, isTaken: true });
    await new Promise(setImmediate);
    assert.equal(isSettled, false);
    process.emit('internalMessage', { ...answered, ack: lastSeq, isTaken: false });
    await settled;
    assert.deepEqual(handle.served, [clients[1]]);
  });

  it('sees soon that others have lost theirs', async () => {
    load(9, 8, 8);
    assert.ok(isServed(arrive()));
    await eventually(() => {
      load(5, 0, 0);
      return !isServed(arrive());
    });
    await eventually(() => sent.length > 0);
  });

  it('gives back no more than evens it out', async () => {
    load(4, 1, 4);
    const clients = Array.from({ length: 6 }, () => arrive());
    await Promise.all(clients.map(decided));
    // It ends with 6, the others with 4 and 5.
    assert.deepEqual([sent.length, clients.filter(isServed).length], [4, 2]);
  });

  it('serves what it held when others have caught up meanwhile', async () => {
    load(2, 0, 5);
    const client = arrive();
    load(2, 1, 5);
    await decided(client);
    assert.ok(isServed(client));
  });

  it('serves what could not be sent', async () => {
    answer = new Error('the channel is closed');
    load(9, 0, 0);
    const client = arrive();
    await eventually(() => isServed(client));
    assert.ok(!client.isClosed);
  });

  it('keeps what the master handed over', () => {
    load(9, 0, 0);
    const client = new Client();
    process.emit('internalMessage', { act: 'newconn' }, client);
    arrive(client);
    assert.ok(isServed(client));
  });

  it('serves what it holds when it drains or the master is gone, each once', async () => {
    for (const end of [() => balance.end(), () => process.emit('disconnect')]) {
      load(9, 0, 0);
      const client = arrive();
      end();
      await decided(client);
      assert.deepEqual([sent.length, handle.served.at(-1)], [0, client]);
    }
    assert.ok(isServed(arrive()), 'and at once from then on');
  });

  it('gives nothing back where connections close soon', () => {
    load(9, 0, 0);
    for (let count = 0; count <= 9; count += 1) short.closed(clock(), clock());
    assert.ok(isServed(arrive()));
  });

  it('gives back a bounded number at once', async () => {
    load(100, 0, 0);
    const clients = Array.from({ length: 100 }, () => arrive());
    assert.equal(clients.filter(isServed).length, 36, 'what can not be given does not wait');
    await Promise.all(clients.map(decided));
    assert.equal(sent.length, 64);
    assert.equal(handle.served.length, 36);
  });

  it('leaves other sockets and a lonely worker alone', () => {
    header[PLACES.takers] = 1;
    load(9, 0, 0);
    assert.ok(isServed(arrive()));
    const pipe = { onconnection: () => {} };
    const { onconnection } = pipe;
    balance.watch({ _handle: pipe });
    assert.equal(pipe.onconnection, onconnection);
  });
});

describe('ShortConnections', () => {
  it('counts for one to two seconds what closed within a second', () => {
    const short = new ShortConnections();
    short.closed(10_000, 10_900);
    short.closed(9000, 10_900);
    short.closed(10_950, 11_100);
    assert.equal(short.recent(11_900), 2);
    assert.equal(short.recent(12_100), 1);
    assert.equal(short.recent(13_100), 0);
  });

  it('forgets nothing when it is told a little late', () => {
    const short = new ShortConnections();
    short.closed(10_000, 10_900);
    assert.equal(short.recent(11_010), 1);
    short.closed(10_800, 10_990);
    assert.equal(short.recent(11_020), 2);
  });
});
