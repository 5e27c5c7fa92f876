'use strict';

// What Node's own test suite says of `cluster2-rs/register`, and whether that means something.
//
//   node scripts/node-suite.js <folder> [--tamper] [--own] [part of a file's name...]
//
// `<folder>` is a copy of Node's `test/` with `common`, `parallel` and `sequential`, on which this script writes; the
// files are not part of this project. Each `test-cluster-*` is run on the Node that runs this script, in the place of
// Node's cluster; with `--own` on Node's cluster itself. `--tamper` runs every file once more for each thing in it that
// is asserted, waited for or done, with just that spoiled: such a file should fail. What passes nevertheless is run on
// Node's cluster as well, which tells whether it is the file or the stand-in that does not notice.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { withEnvironment } = require('../test/support/processes');
const { root, say } = require('./tools.js');

const REGISTER = path.join(root, 'register.js');
const LONGEST_RUN = 60_000;
// A file that waits in vain fails as well.
const LONGEST_SPOILED_RUN = 15_000;
// Most of the time is spent waiting.
const LANES = 4;
const FIRST_PORT = 25_000;
const [PASSED, FAILED, SKIPPED] = ['passed', 'failed', 'skipped'];
// What `common.skip` prints.
const SKIPS = /^1\.\.0 # Skipped/m;
const SPOILED = /\.spoiled-\d+\.js$/;

/** What an assertion becomes, which fails wherever the other holds: from its arguments. */
const SPOILED_ASSERTIONS = {
  '': ([value]) => `assert(!(${value}))`,
  'ok': ([value]) => `assert.ok(!(${value}))`,
  'strictEqual': ([actual]) => `assert.strictEqual(${actual}, Symbol('spoiled'))`,
  'deepStrictEqual': ([actual]) => `assert.deepStrictEqual(${actual}, Symbol('spoiled'))`,
  'notStrictEqual': ([actual, expected]) => `assert.strictEqual(${actual}, ${expected})`,
  'match': ([actual, pattern]) => `assert.doesNotMatch(${actual}, ${pattern})`,
  'throws': ([call]) => `assert.doesNotThrow(${call})`,
};
/** Calls that a test may need to come to its end, by the last part of their names. */
const DEEDS = ['close', 'connect', 'destroy', 'disconnect', 'end', 'fork', 'kill', 'listen', 'send', 'write'];

async function main([folder, ...rest]) {
  if (folder === undefined) throw new Error('usage: node scripts/node-suite.js <folder> [--tamper] [--own] [name...]');
  const names = rest.filter((word) => !word.startsWith('--'));
  const isOwn = rest.includes('--own');
  const isMeant = (file) => names.length === 0 || names.some((name) => path.basename(file).includes(name));
  const files = filesIn(path.resolve(folder)).filter(isMeant);
  const results = await onLanes(files, (file, lane) => runFile(file, lane, { isOwn, limit: LONGEST_RUN }));
  const those = (result) => files.filter((_, at) => results[at] === result);
  for (const file of those(FAILED)) say(`failed: ${path.basename(file)}`);
  for (const file of those(SKIPPED)) say(`skips itself: ${path.basename(file)}`);
  say(`${those(PASSED).length} of ${files.length} files pass on Node ${process.versions.node}`);
  if (rest.includes('--tamper')) await tamper(those(PASSED), isOwn);
}

function filesIn(folder) {
  const isMeant = (name) => name.startsWith('test-cluster-') && name.endsWith('.js');
  return ['parallel', 'sequential'].flatMap((part) => {
    const names = fs.readdirSync(path.join(folder, part)).filter(isMeant);
    for (const name of names.filter((one) => SPOILED.test(one))) fs.rmSync(path.join(folder, part, name));
    return names.filter((name) => !SPOILED.test(name)).map((name) => path.join(folder, part, name));
  });
}

async function tamper(files, isOwn) {
  const spoiled = files.flatMap((file) => waysToSpoil(file).map((way, at) => ({ file, way, at })));
  const passed = await onLanes(spoiled, async (one, lane) => {
    if (await runSpoiled(one, lane, isOwn) === FAILED) return undefined;
    const isBlind = isOwn || await runSpoiled(one, lane, true) !== FAILED;
    return isBlind ? 'the file itself does not notice' : 'only the stand-in passes';
  });
  const byKind = {};
  const noticing = new Set();
  spoiled.forEach(({ file, way: { kind, line, was } }, at) => {
    byKind[kind] ??= { all: 0, noticed: 0 };
    byKind[kind].all += 1;
    if (passed[at] === undefined) {
      byKind[kind].noticed += 1;
      noticing.add(file);
    } else {
      say(`passes (${passed[at]}): ${path.basename(file)}:${line}: ${was}`);
    }
  });
  for (const [kind, { all, noticed }] of Object.entries(byKind)) say(`${kind}: ${noticed} of ${all} fail when spoiled`);
  say(`${noticing.size} of ${files.length} files fail when they are tampered with`);
  for (const file of files) if (!noticing.has(file)) say(`never failed: ${path.basename(file)}`);
}

/** How a file can be spoiled: `text` takes the place of what stands from `start` to `end`, which begins with `was`. */
function waysToSpoil(file) {
  const ts = require('typescript');
  const source = ts.createSourceFile(file, fs.readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const ways = [];
  const add = (kind, node, text) => {
    const start = node.getStart(source);
    const line = source.getLineAndCharacterOfPosition(start).line + 1;
    const [was] = node.getText(source).split('\n', 1);
    ways.push({ kind, line, start, end: node.getEnd(), was, text });
  };
  const visit = (node) => {
    if (ts.isCallExpression(node)) {
      const callee = node.expression.getText(source);
      const args = node.arguments.map((arg) => arg.getText(source));
      const assertion = /^assert(?:\.(\w+))?$/.exec(callee);
      const spoil = assertion && SPOILED_ASSERTIONS[assertion[1] ?? ''];
      if (spoil) add('assertions', node, spoil(args));
      const [, wait] = /^common\.(must\w+)$/.exec(callee) ?? [];
      if (wait) add('expected calls', node, spoiledWait(wait, args));
      const isStatement = ts.isExpressionStatement(node.parent);
      if (isStatement && DEEDS.includes(callee.split('.').at(-1))) add('deeds', node, 'undefined');
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return ways;
}

// One call more than will come; or one that is waited for where none may come.
function spoiledWait(name, args) {
  if (name === 'mustNotCall') return 'common.mustCall()';
  const hasFunction = args.length > 0 && !/^\d+$/.test(args[0]);
  const [given, count = '1'] = hasFunction ? args : ['() => {}', ...args];
  return `common.${name}(${given}, (${count}) + 1000)`;
}

async function runSpoiled({ file, way: { start, end, text }, at }, lane, isOwn) {
  const whole = fs.readFileSync(file, 'utf8');
  const copy = file.replace(/\.js$/, `.spoiled-${at}.js`);
  fs.writeFileSync(copy, whole.slice(0, start) + text + whole.slice(end));
  try {
    return await runFile(copy, lane, { isOwn, limit: LONGEST_SPOILED_RUN });
  } finally {
    fs.rmSync(copy, { force: true });
  }
}

/** Runs a file to its end, or kills it when its time is up; whatever it leaves behind is killed (found by /proc). */
function runFile(file, lane, { isOwn, limit }) {
  const [, flags = ''] = /^\/\/ Flags: (.*)$/m.exec(fs.readFileSync(file, 'utf8')) ?? [];
  const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'node-suite-'));
  const args = [...isOwn ? [] : ['--require', REGISTER], ...flags.split(' ').filter(Boolean), file];
  const env = { ...process.env, NODE_TEST_DIR: temporary, NODE_COMMON_PORT: String(FIRST_PORT + 100 * lane) };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
  let isSkipped = false;
  child.stdout.setEncoding('utf8').on('data', (text) => { isSkipped ||= SKIPS.test(text); });
  // Workers may lead groups of their own, but have the environment.
  const end = () => {
    for (const pid of withEnvironment('NODE_TEST_DIR', temporary)) kill(pid);
  };
  const timer = setTimeout(end, limit);
  return new Promise((resolve) => {
    child.on('exit', (code) => {
      clearTimeout(timer);
      end();
      fs.rmSync(temporary, { recursive: true, force: true });
      if (code !== 0) resolve(FAILED);
      else resolve(isSkipped ? SKIPPED : PASSED);
    });
  });
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just gone.
  }
}

// Does it for all, some at a time; gives the results in their order.
async function onLanes(all, deed) {
  const results = [];
  let next = 0;
  await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
    while (next < all.length) {
      const at = next;
      next += 1;
      results[at] = await deed(all[at], lane);
    }
  }));
  return results;
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
