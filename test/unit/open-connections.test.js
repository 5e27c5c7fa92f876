// The list of open connections, lib/worker/counting/open-connections.js.
'use strict';

const assert = require('node:assert/strict');
const { OpenConnections } = require('../../lib/worker/counting/open-connections');

describe('open connections', () => {
  let open;
  let sockets;

  beforeEach(() => {
    open = new OpenConnections();
    sockets = Array.from({ length: 5 }, (_, number) => ({ number }));
    for (const socket of sockets) open.add(socket, socket.number * 10);
  });

  it('gives back when a connection was opened, whatever went before it', () => {
    const order = [0, 4, 2, 1, 3];
    assert.deepEqual(order.map((number) => open.remove(sockets[number])), [0, 40, 20, 10, 30]);
    assert.deepEqual(visited(10), []);
  });

  it('forgets a connection once', () => {
    const [first, second] = sockets;
    assert.ok(open.has(first));
    open.remove(first);
    assert.ok(!open.has(first));
    assert.equal(open.remove(first), undefined);
    assert.equal(open.remove({}), undefined);
    assert.equal(open.remove(second), 10);
  });

  it('visits all in turn, so many at a time', () => {
    assert.deepEqual([visited(2), visited(2), visited(2), visited(2)], [[0, 1], [2, 3], [4], [0, 1]]);
  });

  it('visits those that are left when many have gone', () => {
    visited(4);
    for (const socket of sockets.slice(1)) open.remove(socket);
    assert.deepEqual(visited(2), [0]);
  });

  it('takes a connection again that had gone', () => {
    open.remove(sockets[2]);
    open.add(sockets[2], 70);
    assert.equal(open.remove(sockets[2]), 70);
  });

  function visited(most) {
    const numbers = [];
    open.visit(most, ({ number }) => numbers.push(number));
    return numbers;
  }
});
