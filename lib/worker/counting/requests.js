// Counts requests into a worker's row, from their headers to the end of their answer.
//
// lib/worker/counting/traffic.js makes the counter and calls it twice for each request. So what the counter needs
// stands in variables of one function, which V8 takes for constants; fields of an object would be looked up one by
// one, in memory that has gone cold since the last request (measured: 2 % of a short one on Node 20).
'use strict';

const { flightRecorder } = require('./flight-recorder');
const { clock } = require('./scoreboard');

/** The functions that count into the row of `board`, and record the requests where `isRecording`. */
function requestCounts(board, isRecording) {
  const { numbers, layout } = board;
  const { aborted: abortedTotal, requestMs, requestsTotal, requestsUnderWay, status1xx, tick } = board.at;
  const { at: histogram, buckets, parts: perMs } = layout.histogram;
  const recorder = isRecording ? flightRecorder(board) : undefined;

  /** A request has begun; the loop turns. */
  function begin(request, method, url) {
    const now = clock();
    numbers[tick] = now;
    numbers[requestsTotal] += 1;
    numbers[requestsUnderWay] += 1;
    request.connection.underWay += 1;
    request.start = now;
    if (recorder !== undefined) request.entry = recorder.begin(now, method, url, request);
  }

  /** Its answer is out. */
  function answered(request, status) {
    const { connection, start } = request;
    // What was aborted is counted already.
    if (connection.isClosed) return;
    const now = clock();
    connection.underWay -= 1;
    numbers[requestsUnderWay] -= 1;
    numbers[status1xx - 1 + Math.min(Math.max(Math.floor(status / 100), 1), 5)] += 1;
    numbers[requestMs] += now - start;
    numbers[histogram + bucketOf(now - start)] += 1;
    if (recorder !== undefined) recorder.end(now, request, status);
  }

  /** A stream of HTTP/2 has ended without an answer; its connection may go on. */
  function aborted(request) {
    const { connection } = request;
    if (connection.isClosed) return;
    connection.underWay -= 1;
    numbers[requestsUnderWay] -= 1;
    numbers[abortedTotal] += 1;
    recorder?.end(clock(), request, 0);
  }

  /** A connection has ended, and with it all its requests. */
  function abandoned(connection) {
    connection.isClosed = true;
    if (connection.underWay === 0) return;
    numbers[requestsUnderWay] -= connection.underWay;
    numbers[abortedTotal] += connection.underWay;
    recorder?.endAll(clock(), connection);
  }

  // As docs/scoreboard.md describes it: by the leading bit and the two after it.
  function bucketOf(ms) {
    const parts = Math.trunc(ms * perMs) >>> 0;
    if (parts < 4) return parts;
    const shift = 29 - Math.clz32(parts);
    return Math.min(shift * 4 + (parts >>> shift), buckets - 1);
  }

  return { begin, answered, aborted, abandoned };
}

module.exports = { requestCounts };
