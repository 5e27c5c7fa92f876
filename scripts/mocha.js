'use strict';

// Runs mocha in a process of its own, on any Node, and returns its counts. A run that does not come to its
// end, or that leaves something behind which keeps its process alive, is a failure, and is ended here.

const fs = require('node:fs');
const path = require('node:path');

const { root, cache, filesBelow, run, say } = require('./tools.js');

const ENTRY = path.join(root, 'node_modules/mocha/bin/mocha.js');
const LONGEST_RUN = 20 * 60_000;
const LONGEST_END = 10_000;

// Programs under test, and what is run by `npm run test:frameworks`.
const APART = ['test/apps/', 'test/frameworks/'];

/** The whole suite. */
function allTests() {
  const isApart = (file) => APART.some((folder) => file.startsWith(folder));
  return filesBelow('test').filter((file) => file.endsWith('.test.js') && !isApart(file));
}

/** Runs test files on the Node at `node`; `show` is 'spec' or 'dot'. */
async function runMocha(files, { node = process.execPath, show = 'spec' } = {}) {
  const tallyFile = path.join(cache, `mocha-${process.pid}.json`);
  fs.mkdirSync(cache, { recursive: true });
  fs.rmSync(tallyFile, { force: true });
  const args = [ENTRY, '--forbid-only', '--reporter', path.join(__dirname, 'reporter.js'), ...files];
  if (process.stdout.isTTY) args.splice(1, 0, '--color');
  const env = {
    MOCHA_TALLY: tallyFile,
    MOCHA_SHOW: show,
    // A test that runs `node` by name means the Node that it runs on itself.
    PATH: [path.dirname(node), process.env.PATH].join(path.delimiter),
  };
  const ended = new AbortController();
  const watch = endWhenOver(tallyFile, ended);
  const { ok, overdue, signal } = await run(node, args, { env, timeout: LONGEST_RUN, abort: ended.signal });
  clearInterval(watch);
  const tally = readTally(tallyFile);
  if (overdue) say(`mocha was ended: it took more than ${LONGEST_RUN / 60_000} minutes`);
  if (ended.signal.aborted) say('mocha was ended: after its last test, something kept its process alive');
  if (tally === null && signal) say(`mocha was ended by ${signal}`);
  if (tally === null) return { passed: 0, failed: 1, skipped: 0 };
  // Not ok without a failed test: it crashed or hung after its last one.
  if (!ok && tally.failed === 0) tally.failed = 1;
  return tally;
}

/**
 * Watches for the counts, which mocha leaves when its last test is over; its process should end at once then.
 */
function endWhenOver(tallyFile, ended) {
  let over = null;
  return setInterval(() => {
    if (over === null && fs.existsSync(tallyFile)) over = Date.now();
    if (over !== null && Date.now() - over > LONGEST_END) ended.abort();
  }, 1000);
}

function readTally(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return null;
  } finally {
    fs.rmSync(file, { force: true });
  }
}

module.exports = { allTests, runMocha };
