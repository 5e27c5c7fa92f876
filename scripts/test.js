'use strict';

// `npm test`: every check of the project, in the order in which a failure is cheapest, each with its time,
// and at the very end one line that sums them all. A failed step stops only the steps that cannot run without
// it.
//
//   npm test                                  every step but "frameworks" and "matrix"
//   npm test -- clippy cargo-test             these steps only, after those that they need
//   npm test -- test/lifecycle/stop.test.js   mocha, or the named steps that run it, with these files only
//   npm test -- test/lifecycle                the same with every test file of a folder
//
// With CI=true in the environment a skip counts as a failure: there, everything has to be present.

const path = require('node:path');

const { install, build } = require('./setup.js');
const { allTests, runMocha, runSuite } = require('./mocha.js');
const { obtainNodes } = require('./nodes.js');
const { filesWithoutStory } = require('./story.js');
const { findCargo } = require('./cargo.js');
const { root, isFile, run, runTool, say } = require('./tools.js');

/**
 * What the smoke of all supported Nodes runs: the shortest tests in which the addon, master and workers take
 * part.
 */
const SMOKE = ['test/unit/native.test.js', 'test/unit/node-internals.test.js', 'test/cluster2/readme.test.js'];

/** Frameworks whose packages are too heavy to be dev dependencies; the tests fetch them. */
const FRAMEWORKS = ['test/frameworks/frameworks.test.js'];

const DENY = ['--', '-D', 'warnings'];
const CORE = '--no-default-features';
const LOAD = ['--manifest-path', 'benches/load/Cargo.toml'];
const FUZZ = ['--manifest-path', 'fuzz/Cargo.toml'];
const BESIDE = ['--locked', '--target-dir', 'target'];

const STEPS = [
  { name: 'install', run: async () => verdict(await install()) },
  { name: 'story', run: checkStories },
  { name: 'fmt', run: checkFormat },
  { name: 'lint', needs: ['install'], run: () => tool('eslint/bin/eslint.js', ['.']) },
  { name: 'clippy', run: () => cargo(['clippy', CORE, '--all-targets', ...DENY], 'clippy') },
  { name: 'clippy-node', run: () => cargo(['clippy', '--all-targets', ...DENY], 'clippy') },
  { name: 'cargo-test', run: () => cargoTest(CORE) },
  { name: 'load', run: checkLoad },
  { name: 'build', needs: ['install'], run: async () => verdict(await build()) },
  { name: 'mocha', needs: ['build'], run: (files) => (files.length > 0 ? runMocha(files) : runSuite()) },
  { name: 'types', needs: ['install'], run: types },
  { name: 'doc', run: () => cargo(['doc', '--no-deps'], null, { RUSTDOCFLAGS: '-D warnings' }) },
  { name: 'smoke', needs: ['build'], run: (files) => onAllNodes(orElse(files, SMOKE), 'dot') },
  { name: 'frameworks', needs: ['build'], asked: true, run: () => runMocha(FRAMEWORKS) },
  { name: 'matrix', needs: ['build'], asked: true, run: (files) => onAllNodes(orElse(files, allTests()), 'spec') },
];

async function main(args) {
  const named = new Map(args.map((arg) => [arg, filesAt(arg)]));
  const files = [...named.values()].flat();
  const names = args.filter((arg) => named.get(arg).length === 0);
  const steps = chooseSteps(names.length === 0 && files.length > 0 ? ['mocha'] : names);
  if (steps === null) {
    process.exitCode = 2;
    return;
  }
  const done = new Map();
  for (const step of steps) done.set(step.name, await perform(step, files, done));
  report(done);
}

/** The file of that name, or all test files of the folder; none where it is the name of a step. */
function filesAt(arg) {
  if (isFile(path.join(root, arg))) return [arg];
  return allTests().filter((file) => file.startsWith(`${arg.replace(/\/+$/, '')}/`));
}

/** The steps that were asked for and what they need, in order; null if one is unknown. */
function chooseSteps(names) {
  if (names.length === 0) return STEPS.filter((step) => !step.asked);
  const chosen = new Set();
  const choose = (name) => {
    const step = STEPS.find((candidate) => candidate.name === name);
    if (step === undefined) return false;
    chosen.add(step);
    return (step.needs ?? []).every(choose);
  };
  const unknown = names.find((name) => !choose(name));
  if (unknown === undefined) return STEPS.filter((step) => chosen.has(step));
  say(`There is no step and no file named ${unknown}. Steps: ${STEPS.map(({ name }) => name).join(', ')}`);
  return null;
}

/** Runs one step, unless one that it needs did not pass. Returns its tally with its time. */
async function perform(step, files, done) {
  const lacking = (step.needs ?? []).find((name) => !done.get(name).passed);
  if (lacking !== undefined) return { ...skip(`${lacking} did not pass`), seconds: 0 };
  say(`\n== ${step.name}`);
  const start = process.hrtime.bigint();
  const tally = await step.run(files);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return { ...tally, seconds };
}

/** Prints the table of all steps and, as the last line, their sum; sets the exit code. */
function report(done) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  say('\n== summary');
  for (const [name, { passed, failed, skipped, seconds, reasons = [] }] of done) {
    const word = failed > 0 ? 'FAILED' : skipped > 0 ? 'skipped' : 'ok';
    const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
    console.log(`${name.padEnd(12)} ${word.padEnd(8)} ${seconds.toFixed(1).padStart(6)} s   ${counts}`);
    for (const reason of reasons) console.log(`${' '.repeat(13)}${reason}`);
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
  }
  if (sum.skipped > 0 && process.env.CI === 'true') {
    console.log(`CI=true: ${sum.skipped} skipped count as failed`);
    sum.failed += sum.skipped;
    sum.skipped = 0;
  }
  if (sum.failed > 0) process.exitCode = 1;
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
}

function orElse(files, others) {
  return files.length > 0 ? files : others;
}

function verdict(ok) {
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

function skip(reason) {
  return { passed: 0, failed: 0, skipped: 1, reasons: [reason] };
}

function checkStories() {
  const silent = filesWithoutStory();
  for (const file of silent) say(`${file} does not open with a comment that says what it is for`);
  return verdict(silent.length === 0);
}

async function tool(entry, args) {
  return verdict((await runTool(entry, args)).ok);
}

/** The types against programs that use them, then against the examples. */
async function types() {
  const projects = ['tsconfig.json', 'tsconfig.examples.json'];
  let ok = true;
  for (const project of projects) ok = (await runTool('typescript/bin/tsc', ['--project', project])).ok && ok;
  return verdict(ok);
}

/** Runs cargo; if it fails because a component of Rust is not installed, that is a skip. */
async function cargo(args, component, env = {}) {
  if (!findCargo()) return { ...verdict(false), reasons: ['cargo was not found: see https://rustup.rs'] };
  const { ok } = await run('cargo', args, { env });
  if (!ok && component !== null && !(await run('cargo', [args[0], '--version'], { output: 'hide' })).ok) {
    return skip(`${component} is not installed: rustup component add ${component}`);
  }
  return verdict(ok);
}

/** That of the addon, and of the fuzz targets, which are a package of their own; `npm run test:fuzz` compiles them. */
async function checkFormat() {
  return together([await cargo(['fmt', '--check'], 'rustfmt'), await cargo(['fmt', '--check', ...FUZZ], 'rustfmt')]);
}

/** The load of the benchmarks is a package of its own, and meets the same demands. */
async function checkLoad() {
  const format = await cargo(['fmt', '--check', ...LOAD], 'rustfmt');
  const mistakes = await cargo(['clippy', ...LOAD, ...BESIDE, '--all-targets', ...DENY], 'clippy');
  return together([format, mistakes, await cargoTest(...LOAD, ...BESIDE)]);
}

function together(tallies) {
  const total = (key) => tallies.reduce((sum, { [key]: count }) => sum + count, 0);
  const reasons = tallies.flatMap((tally) => tally.reasons ?? []);
  return { passed: total('passed'), failed: total('failed'), skipped: total('skipped'), reasons };
}

/** Runs cargo's tests and adds up what each of their programs counted. */
async function cargoTest(...args) {
  if (!findCargo()) return cargo([], null);
  const { ok, output } = await run('cargo', ['test', ...args, '--no-fail-fast'], { output: 'tee' });
  const tally = { passed: 0, failed: 0, skipped: 0 };
  const counts = /^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/gm;
  for (const [, passed, failed, ignored] of output.matchAll(counts)) {
    tally.passed += Number(passed);
    tally.failed += Number(failed);
    tally.skipped += Number(ignored);
  }
  // Not ok without a failed test: the tests did not compile, or a program of theirs crashed.
  if (!ok && tally.failed === 0) tally.failed = 1;
  return tally;
}

/** Runs mocha on each supported Node; one that cannot be had is a skip that says why. */
async function onAllNodes(files, show) {
  const sum = { passed: 0, failed: 0, skipped: 0, reasons: [] };
  for (const { version, program, problem } of await obtainNodes()) {
    if (problem === undefined) say(`\nNode ${version}`);
    const tally = problem === undefined ? await runMocha(files, { node: program, show }) : skip(problem);
    sum.passed += tally.passed;
    sum.failed += tally.failed;
    sum.skipped += tally.skipped;
    const counts = `ran: ${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`;
    sum.reasons.push(`Node ${version} ${problem === undefined ? counts : `did not run: ${problem}`}`);
  }
  return sum;
}

main(process.argv.slice(2));
