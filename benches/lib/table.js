// Tables of text: one form for the terminal, one for Markdown.
'use strict';

function asText(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const pad = (cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]));
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/** Figures stand on the right, unless `words` says that there are none. */
function asMarkdown([head, ...rows], { words = false } = {}) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 0 || words ? '---' : '---:'));
  return [head, rule, ...rows].map(line).join('\n');
}

module.exports = { asMarkdown, asText };
