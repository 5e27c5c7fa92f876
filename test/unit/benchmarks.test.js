'use strict';

// The parts of the benchmarks that can be right or wrong without a measurement: their arithmetic, and the document
// that is made of what runs have found.

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');

const { compare, compareCounts, median, ratio, spread } = require('../../benches/lib/statistics');
const { picture } = require('../../benches/lib/plot');
const { withFindings } = require('../../benches/lib/document');

const read = (file) => fs.readFileSync(path.resolve(__dirname, '../..', file), 'utf8');

describe('the benchmarks', () => {
  it('have a document whose tables are those of a run, to the byte', () => {
    const page = read('docs/BENCHMARKS.md');
    assert.strictEqual(withFindings(page, JSON.parse(read('docs/benchmarks.json'))), page);
  });

  it('say in the document how each measure is repeated', () => {
    const page = read('docs/BENCHMARKS.md');
    const files = fs.readdirSync(path.resolve(__dirname, '../../benches/measures'));
    const names = files.map((file) => path.parse(file).name);
    assert.deepStrictEqual(names.filter((name) => !page.includes(`| \`${name}\` |`)), []);
  });

  it('compare round by round, not median by median', () => {
    assert.strictEqual(median([3, 1, 2]), 2);
    assert.strictEqual(median([4, 1, 2, 3]), 2.5);
    assert.deepStrictEqual(spread([2, 9, 4]), [2, 9]);
    assert.strictEqual(ratio([10, 40, 90], [10, 20, 30]), '2.00 (1.00 to 3.00)');
  });

  it('call behind what is worse by more than a fiftieth, in either direction', () => {
    const isBehind = (ours, theirs, better) => compare('x', 'peer', [ours], [theirs], { better }).isBehind;
    assert.deepStrictEqual([isBehind(103, 100), isBehind(102, 100), isBehind(97, 100)], [true, false, false]);
    assert.deepStrictEqual([isBehind(97, 100, 'higher'), isBehind(103, 100, 'higher')], [true, false]);
    assert.strictEqual(compareCounts('lost', 'peer', [0, 1], [0, 0], {}).isBehind, true);
    assert.strictEqual(compareCounts('lost', 'peer', [0, 1], [2, 0], {}).isBehind, false);
  });

  it('draw what they found, with a dot for each point and no text unescaped', () => {
    const chart = { title: 'a < b', across: 'workers', points: [[1, 0], [2, 5], [64, 7]] };
    const svg = picture([chart, chart], { perRow: 2, caption: 'here & now' });
    assert.strictEqual(svg.match(/<circle/g).length, 6);
    assert.ok(svg.includes('a &lt; b') && svg.includes('here &amp; now'));
    assert.ok(!/NaN|Infinity|undefined/.test(svg));
  });
});
