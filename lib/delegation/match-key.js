// What must be equal in a question and its answer, as a text: the values under some names.
//
// Equal texts mean equal JSON, whatever the order of keys, so lib/delegation/delegations.js finds the questions of an
// answer in a map. Owns nothing.
'use strict';

/** The names in `matches`, however it was written. */
function namesOf(matches) {
  return [matches].flat().filter((name) => typeof name === 'string' || typeof name === 'number').map(String);
}

/** The values that `message` has under `names`, as a text. */
function keyOf(message, names) {
  let key = '';
  for (const name of names) key += `${textOf(message?.[name])}\n`;
  return key;
}

module.exports = { keyOf, namesOf };

function textOf(value) {
  if (typeof value === 'object' && value !== null) return textOfObject(value);
  if (typeof value === 'bigint') return `${value}n`;
  // JSON writes these as null, and undefined not at all.
  return typeof value === 'number' || value === undefined ? String(value) : JSON.stringify(value) ?? 'undefined';
}

function textOfObject(value) {
  if (typeof value.toJSON === 'function') return textOf(value.toJSON());
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item ?? null)).join()}]`;
  const keys = Object.keys(value).filter((key) => value[key] !== undefined).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${textOf(value[key])}`).join()}}`;
}
