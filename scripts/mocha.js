'use strict';

// Runs mocha in a process of its own, on any Node, and returns its counts. A run that does not come to its
// end, or that leaves something behind which keeps its process alive, is a failure, and is ended here.

const fs = require('node:fs');
const path = require('node:path');

const { root, cache, filesBelow, run, say } = require('./tools.js');

const ENTRY = path.join(root, 'node_modules/mocha/bin/mocha.js');
const LONGEST_RUN = 20 * 60_000;
const LONGEST_END = 10_000;

// Tests that take about half of the time.
const SECOND = ['test/command/', 'test/cluster2/', 'test/monitor/', 'test/package/', 'test/unit/'];

// Programs under test, and what is run by `npm run test:frameworks`.
const APART = ['test/apps/', 'test/frameworks/'];

let runs = 0;

/** The whole suite. */
function allTests() {
  const isApart = (file) => APART.some((folder) => file.startsWith(folder));
  return filesBelow('test').filter((file) => file.endsWith('.test.js') && !isApart(file));
}

/**
 * Runs the whole suite in two processes side by side, since tests wait for programs most of the time. What the
 * second one says comes when the first has ended.
 */
async function runSuite() {
  const isSecond = (file) => SECOND.some((folder) => file.startsWith(folder));
  const files = allTests();
  const besides = runMocha(files.filter(isSecond), { output: 'hide' });
  const first = await runMocha(files.filter((file) => !isSecond(file)));
  const { output, ...second } = await besides;
  say(output);
  const sum = (key) => first[key] + second[key];
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}

/**
 * Runs test files on the Node at `node`; `show` is 'spec' or 'dot', and `output` says what scripts/tools.js does with
 * the words.
 */
async function runMocha(files, { node = process.execPath, show = 'spec', output: mode = 'show' } = {}) {
  const tallyFile = path.join(cache, `mocha-${process.pid}-${runs += 1}.json`);
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
  const how = { output: mode, env, timeout: LONGEST_RUN, abort: ended.signal };
  const { ok, output, overdue, signal } = await run(node, args, how);
  clearInterval(watch);
  const tally = readTally(tallyFile);
  if (overdue) say(`mocha was ended: it took more than ${LONGEST_RUN / 60_000} minutes`);
  if (ended.signal.aborted) say('mocha was ended: after its last test, something kept its process alive');
  if (tally === null && signal) say(`mocha was ended by ${signal}`);
  if (tally === null) return { passed: 0, failed: 1, skipped: 0, output };
  // Not ok without a failed test: it crashed or hung after its last one.
  if (!ok && tally.failed === 0) tally.failed = 1;
  return { ...tally, output };
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

module.exports = { allTests, runMocha, runSuite };
