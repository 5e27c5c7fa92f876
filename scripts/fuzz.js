'use strict';

// `npm run test:fuzz`: gives everything that the addon parses what libFuzzer makes up, each target for a minute, and
// says what came of it; exit status 1 if something did not hold.
//
//   npm run test:fuzz                                   every target for 60 s
//   npm run test:fuzz -- --seconds 600 --only http      one target (or several, with commas), for as long as wanted
//   npm run test:fuzz -- --only http --replay <file>    one case again, with its stack
//   npm run test:fuzz -- --seconds 0 --keep             puts the cases that reach most into fuzz/corpus/
//
// The properties are in src/fuzzing/, the targets in fuzz/. They are built by a nightly compiler, with address
// sanitizer. What a run has found worth keeping stays in target/fuzz/, and the next one goes on from there.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

const { findCargo, isOnPath } = require('./cargo.js');
const { root, run, say } = require('./tools.js');

const BUILT = path.join(root, 'target/fuzz');
const CORPUS = path.join(root, 'fuzz/corpus');
/** How many seeds of one target are kept, beside those that people have written, and how long one may be. */
const MOST_KEPT = 30;
const LONGEST_KEPT = 1024;
/** A case may take so long, in seconds, and all of them so much memory, in MiB. */
const LIMITS = ['-timeout=10', '-rss_limit_mb=2048', '-malloc_limit_mb=512'];
/** What cargo-fuzz sets as well: coverage for libFuzzer, and the sanitizer. */
const FLAGS = [
  '-Cpasses=sancov-module',
  ...['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares']
    .map((option) => `-Cllvm-args=-sanitizer-coverage-${option}`),
  '--cfg fuzzing', '-Zsanitizer=address',
].join(' ');

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      only: { type: 'string' },
      replay: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  const all = fs.readdirSync(path.join(root, 'fuzz/targets')).map((file) => path.parse(file).name).sort();
  const targets = values.only?.split(',') ?? all;
  const unknown = targets.find((target) => !all.includes(target));
  if (unknown !== undefined) return misused(`There is no target ${unknown}. Targets: ${all.join(', ')}`);
  if (!/^\d+$/.test(values.seconds)) return misused('--seconds takes a whole number.');
  if (values.replay !== undefined && targets.length !== 1) return misused('--replay needs --only <target>.');
  const program = await build(targets);
  if (program === undefined) return fail();
  if (values.replay !== undefined) return replay(program(targets[0]), path.resolve(values.replay));
  for (const target of targets) {
    if (values.seconds !== '0' && !await fuzz(target, program(target), values.seconds)) fail();
    if (values.keep) await keep(target, program(target));
  }
  return undefined;
}

function misused(sentence) {
  say(sentence);
  process.exitCode = 2;
}

function fail() {
  process.exitCode = 1;
}

/** Builds the targets. Gives what tells where each is; undefined, with a word why, if they can't be built. */
async function build(targets) {
  if (!findCargo()) return void say('cargo was not found: see https://rustup.rs');
  const { ok, output } = await run('rustc', ['+nightly', '-vV'], { output: 'hide' });
  if (!ok) return void say('A nightly compiler is needed: rustup toolchain install nightly --profile minimal');
  if (!['c++', 'g++', 'clang++'].some(isOnPath)) return void say('libFuzzer needs a C++ compiler: apt install g++');
  const [, host] = /^host: (.+)$/m.exec(output);
  // With a target of its own the flags are not for build scripts and macros.
  const args = ['+nightly', 'build', '--release', '--locked', '--manifest-path', 'fuzz/Cargo.toml',
    '--target-dir', BUILT, '--target', host, ...targets.flatMap((target) => ['--bin', target])];
  const built = await run('cargo', args, { env: { RUSTFLAGS: FLAGS } });
  return built.ok ? (target) => path.join(BUILT, host, 'release', target) : undefined;
}

/** Runs one target and prints its line; false if something did not hold. */
async function fuzz(target, program, seconds) {
  const [found, finds] = ['found', 'finds'].map((name) => folder(name, target));
  const args = [`-max_total_time=${seconds}`, '-print_final_stats=1', `-artifact_prefix=${finds}/`,
    ...dictionary(target), found, ...seeds(target)];
  const { ok, output } = await libfuzzer(program, args);
  const number = (pattern) => Number(output.match(pattern)?.at(-1).match(/\d+$/)?.[0] ?? 0);
  const executions = number(/number_of_executed_units: *\d+/g);
  const edges = number(/cov: \d+/g);
  const counts = `${String(executions).padStart(10)} executions ${String(edges).padStart(6)} edges`;
  say(`${target.padEnd(12)} ${String(seconds).padStart(5)} s ${counts}   ${ok ? 'holds' : 'DOES NOT HOLD'}`);
  if (!ok) tell(target, output);
  return ok;
}

function tell(target, output) {
  const lines = output.split('\n');
  const at = lines.findIndex((line) => /panicked at|ERROR: |SUMMARY: /.test(line));
  console.log(lines.slice(Math.max(at, 0), at + 12).map((line) => `    ${line}`).join('\n'));
  const file = /Test unit written to (\S+)/.exec(output)?.[1];
  if (file === undefined) return;
  const name = path.relative(root, file);
  say(`  again:  npm run test:fuzz -- --only ${target} --replay ${name}\n` +
    `  keep:   cp ${name} fuzz/regressions/${target}/<what it is about>; ` +
    'then `cargo test --no-default-features --lib fuzzing` fails, until it is mended');
}

async function replay(program, file) {
  if (!(await run(program, [...LIMITS, file], { env: env() })).ok) fail();
}

/**
 * Adds to the seeds of a target those of the found cases that together reach the most, the best first. Seeds that
 * people have written have a name that says something; those that are kept have a hash.
 */
async function keep(target, program) {
  const [found, merged] = ['found', 'merged'].map((name) => folder(name, target));
  fs.rmSync(merged, { recursive: true });
  fs.mkdirSync(merged);
  const control = path.join(BUILT, `${target}.merge`);
  fs.rmSync(control, { force: true });
  const options = ['-set_cover_merge=1', `-merge_control_file=${control}`, `-max_len=${LONGEST_KEPT}`];
  await libfuzzer(program, [...options, merged, ...seeds(target), found]);
  const edges = edgesByFile(fs.readFileSync(control, 'utf8'));
  const corpus = path.join(CORPUS, target);
  const isWritten = (file) => !/^[0-9a-f]{12}$/.test(path.basename(file));
  const reached = new Set();
  const written = edges.filter(([file]) => path.dirname(file) === corpus && isWritten(file));
  for (const [, own] of written) own.forEach((edge) => reached.add(edge));
  const kept = new Map();
  while (kept.size < MOST_KEPT) {
    const [file, own] = best(edges, reached);
    if (file === undefined) break;
    own.forEach((edge) => reached.add(edge));
    const content = fs.readFileSync(file);
    kept.set(createHash('sha256').update(content).digest('hex').slice(0, 12), content);
  }
  for (const file of fs.readdirSync(corpus)) if (!isWritten(file)) fs.rmSync(path.join(corpus, file));
  for (const [name, content] of kept) fs.writeFileSync(path.join(corpus, name), content);
  say(`${target.padEnd(12)} ${kept.size} cases kept`);
}

/**
 * Which edges each file reaches: the control file of a merge lists files, and features by their number. Eight features
 * are one edge, by how often it was passed.
 */
function edgesByFile(text) {
  const lines = text.split('\n');
  const count = Number(lines[0]);
  const files = lines.slice(2, 2 + count);
  const features = lines.filter((line) => line.startsWith('FT ')).map((line) => line.split(' ').slice(1).map(Number));
  // A case that is as long as allowed was cut off by the merge and is no file any more.
  return features.filter(([at]) => fs.existsSync(files[at]) && fs.statSync(files[at]).size <= LONGEST_KEPT)
    .map(([at, ...all]) => [files[at], new Set(all.map((feature) => feature >> 3))]);
}

function best(edges, reached) {
  let most = 0;
  let choice = [];
  for (const [file, own] of edges) {
    let fresh = 0;
    for (const edge of own) fresh += reached.has(edge) ? 0 : 1;
    if (fresh > most) [most, choice] = [fresh, [file, own]];
  }
  return choice;
}

async function libfuzzer(program, args) {
  const scratch = path.join(BUILT, 'tmp');
  fs.mkdirSync(scratch, { recursive: true });
  const result = await run(program, [...LIMITS, ...args], { output: 'hide', env: env() });
  fs.rmSync(scratch, { recursive: true, force: true });
  return result;
}

/** Files that a target makes lie beside the build. */
function env() {
  return { TMPDIR: path.join(BUILT, 'tmp'), RUST_BACKTRACE: '0' };
}

function folder(name, target) {
  const at = path.join(BUILT, name, target);
  fs.mkdirSync(at, { recursive: true });
  return at;
}

/** The committed cases, what was ever found included. */
function seeds(target) {
  return ['corpus', 'regressions'].map((name) => path.join(root, 'fuzz', name, target)).filter(fs.existsSync);
}

function dictionary(target) {
  const file = path.join(root, 'fuzz/dictionaries', target);
  return fs.existsSync(file) ? [`-dict=${file}`] : [];
}

main();
