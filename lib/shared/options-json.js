// Options on their way to Rust: plain JSON, with what JSON can't hold written as `{$js: text}` so that an error
// can show it.
'use strict';

const MAX_DEPTH = 4;

function encode(value, depth = 0) {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $js: String(value) };
  if (typeof value === 'function') return { $js: shown(() => `[Function: ${value.name || 'anonymous'}]`) };
  if (typeof value !== 'object' || depth >= MAX_DEPTH) return { $js: shown(() => String(value)) };
  // Unlike `map`, this sees the holes too.
  if (Array.isArray(value)) return Array.from(value, (item) => encode(item, depth + 1));
  return Object.fromEntries(Object.keys(value).map((key) => [key, encode(value[key], depth + 1)]));
}

// What has no text (an object without a prototype, a name that is a symbol) is refused as anything else.
function shown(textOf) {
  try {
    return textOf();
  } catch {
    return '[object]';
  }
}

module.exports = { encode };
