// npm run bench                              everything, in ten to eleven minutes
// npm run bench -- short kill                these measures only
// npm run bench -- --nodes all short         on each supported Node, one after the other
// npm run bench -- --node FILE               on another Node
// npm run bench -- --quick                   fewer and shorter rounds: to see that it runs
// npm run bench -- --write                   and write the findings into docs/BENCHMARKS.md
//
// Measures this package side by side with Node's own cluster, in its default and its shared mode, with PM2's cluster
// mode, and with one process on its own. Each measure is a file in measures/.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

const { Bench } = require('./lib/bench');
const { surroundings, write } = require('./lib/document');
const { buildLoad } = require('./lib/load');
const { obtainPm2 } = require('./lib/pm2');
const { asText } = require('./lib/table');
const { obtainNodes } = require('../scripts/nodes');

const MEASURES = path.join(__dirname, 'measures');
/** In the order in which they are run and told. */
const NAMES = ['short', 'keepalive', 'mixed', 'blocked', 'kill', 'recovery', 'reload', 'stop', 'probe', 'start',
  'delegation', 'scrape', 'watch', 'connections', 'scoreboard', 'growth'];

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      node: { type: 'string', default: process.execPath },
      nodes: { type: 'string' },
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage());
    return;
  }
  const names = positionals.length > 0 ? positionals : NAMES;
  const unknown = names.find((name) => !NAMES.includes(name));
  if (unknown) throw new Error(`there is no measure ${unknown}; there are ${NAMES.join(', ')}`);
  await buildLoad();
  const pm2 = await obtainPm2();
  if (pm2 === null) console.log('PM2 could not be fetched: it is left out.');
  for (const node of values.nodes ? await chosenNodes(values.nodes) : [values.node]) {
    await measureOn(new Bench({ node, pm2, quick: values.quick }), names, values.write);
  }
}

async function measureOn(bench, names, isWritten) {
  console.log(`\n# Node ${bench.version}`);
  const found = {};
  for (const name of names) {
    const measure = require(path.join(MEASURES, name));
    const around = surroundings();
    const began = performance.now();
    const sections = await bench.during(() => measure.run(bench));
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    found[name] = { title: measure.title, seconds, ...around, sections };
    console.log(`\n## ${measure.title} (${name}, ${seconds} s)`);
    for (const { text, rows } of sections) console.log(`\n${text}\n\n${asText(rows)}`);
    // After each: a run that is broken off keeps what it has.
    if (isWritten) write(bench.version, NAMES, found);
  }
}

/** What stands at the head of this file. */
function usage() {
  const lines = fs.readFileSync(__filename, 'utf8').split('\n');
  const head = lines.slice(0, lines.indexOf('\'use strict\';')).map((line) => line.replace(/^\/\/ ?/, ''));
  return `${head.join('\n')}\nMeasures: ${NAMES.join(', ')}`;
}

/** `all`, or versions separated by commas. */
async function chosenNodes(wanted) {
  const nodes = await obtainNodes();
  const isWanted = (version) => wanted === 'all' || wanted.split(',').some((part) => version.startsWith(`${part}.`));
  return nodes.filter(({ version }) => isWanted(version)).map(({ version, program, problem }) => {
    if (problem) console.log(`Node ${version} is left out: ${problem}`);
    return program;
  }).filter(Boolean);
}

main().catch((error) => {
  console.error(error.code?.startsWith('ERR_PARSE_ARGS') ? error.message : error);
  process.exitCode = 1;
});
