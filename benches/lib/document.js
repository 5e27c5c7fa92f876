// Writes what a run has found into docs/: the findings as JSON, the tables made of them, and the charts.
//
// The tables are never typed in: docs/benchmarks.json is what runs have found, and the part of docs/BENCHMARKS.md
// between the two marks is made of it, which a test compares. A run replaces the measures that it made, on its
// version of Node, and leaves the others.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { readJson, root } = require('../../scripts/tools');
const { PM2_VERSION } = require('./pm2');
const { picture } = require('./plot');
const { asMarkdown } = require('./table');

const FINDINGS = 'docs/benchmarks.json';
const PAGE = 'docs/BENCHMARKS.md';
const CHARTS = 'docs/benchmarks-growth.svg';
const BEGIN = '<!-- What follows is written by `npm run bench -- --write`. -->';
const END = '<!-- End of what is written by a run. -->';

/** What the figures of a measure were found on, asked before it runs. */
function surroundings() {
  const [{ model }] = os.cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${os.cpus().length} cores (${model.trim()}), ${(os.totalmem() / 2 ** 30).toFixed(0)} GiB, ` +
      `Linux ${os.release().split('-')[0]}`,
    load: os.loadavg()[0].toFixed(1),
    package: `${readJson('package.json').version}${commit()}`,
    pm2: PM2_VERSION,
  };
}

function commit() {
  try {
    const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
    return ` (${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '-uno') === '' ? '' : ', changed'})`;
  } catch {
    return '';
  }
}

/**
 * Takes the findings of a run on one Node into the document: `{measure name: {title, seconds, sections}}`, each with
 * its surroundings; `order` is that of the names.
 */
function write(node, order, found) {
  const all = readJson(FINDINGS) ?? {};
  const before = all[node] ?? {};
  const measures = Object.fromEntries(order
    .map((name) => [name, found[name] ?? before[name]])
    .filter(([, measure]) => measure));
  // One run per major version: an older patch of it says nothing more.
  const major = node.split('.')[0];
  const others = Object.entries(all).filter(([version]) => version.split('.')[0] !== major);
  const sorted = [...others, [node, measures]].sort(([a], [b]) => Number.parseInt(a) - Number.parseInt(b));
  const findings = Object.fromEntries(sorted);
  fs.writeFileSync(path.join(root, FINDINGS), `${JSON.stringify(findings, null, 1)}\n`);
  const page = path.join(root, PAGE);
  fs.writeFileSync(page, withFindings(fs.readFileSync(page, 'utf8'), findings));
  const { growth } = found;
  if (growth) {
    const charts = growth.sections.flatMap((section) => section.charts ?? []);
    const caption = `Node ${node}, ${growth.date}, ${growth.machine}`;
    fs.writeFileSync(path.join(root, CHARTS), picture(charts, { perRow: 2, caption }));
  }
}

/** The page with its written part made of these findings. */
function withFindings(page, findings) {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${PAGE} has lost the marks between which findings are written`);
  const parts = Object.entries(findings).map(([node, measures]) => written(node, measures));
  if (parts.length === 0) parts.push('No run has been written yet.');
  return `${page.slice(0, begin + BEGIN.length)}\n\n${parts.join('\n\n')}\n\n${page.slice(end)}`;
}

function written(node, measures) {
  const blocks = [`## Node ${node}`, '### Where this package is behind', behind(measures)];
  let last;
  for (const { title, seconds, sections, date, machine, load, package: version, pm2 } of Object.values(measures)) {
    const where = `${date}, ${machine}; cluster2-rs ${version}, PM2 ${pm2}.`;
    // Said once for all measures of one run.
    if (where !== last) blocks.push(where);
    last = where;
    blocks.push(`### ${title}`, `Took ${seconds} s; the machine's load average was ${load} before.`);
    for (const { text, rows, charts } of sections) {
      blocks.push(text);
      blocks.push(asMarkdown(rows));
      if (charts) blocks.push('![The master\'s cost over workers and connections](benchmarks-growth.svg)');
    }
  }
  return blocks.join('\n\n');
}

/** What this package is behind in, on one Node: no comparison of a run that went against it is left out. */
function behind(measures) {
  const rows = Object.values(measures).flatMap(({ title, sections }) => {
    const lost = sections.flatMap(({ comparisons }) => comparisons ?? []).filter(({ isBehind }) => isBehind);
    const figures = [...new Set(lost.map(({ what }) => what))];
    return figures.map((figure) => {
      const those = lost.filter(({ what }) => what === figure);
      return [title, figure, those.map(({ peer, told }) => `${peer}: ${told}`).join('; '), those[0].cause];
    });
  });
  if (rows.length === 0) return 'In none of these measures behind any of the others.';
  return asMarkdown([['measure', 'figure', 'behind, with the ratio', 'why'], ...rows], { words: true });
}

module.exports = { surroundings, withFindings, write };
