// `cluster2 status`: what each master of the directory says of its cluster; for scripts as JSON and as exit status.
'use strict';

const { DONE, FAILED } = require('./failure');
const { find, all } = require('./masters');
const { describe } = require('./status-text');
const { print } = require('./stdout');

async function status(asked) {
  const masters = await find(asked);
  const said = masters.map((master) => master.status).filter(Boolean);
  const text = asked.options.json ? JSON.stringify(said, null, 2) : said.map((each) => describe(each)).join('\n\n');
  if (text !== '') print(text);
  await all(masters, () => {});
  return said.every(({ serving }) => serving > 0) ? DONE : FAILED;
}

module.exports = { status };
