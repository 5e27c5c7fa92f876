// Errors as Node itself makes them, for callers that compare Node's codes.
//
// Used by the files beside it. Owns nothing.
'use strict';

const { getSystemErrorName } = require('node:util');

/** An error of Node's own, by its `code`; `Type` is that of Node's. */
function nodeError(Type, code, message) {
  const error = new Type(message);
  error.code = code;
  // As Node shows it.
  error.stack = error.stack.replace(error.name, `${error.name} [${code}]`);
  return error;
}

/** What a system call of Node's would have failed with; `errno` is libuv's number, below 0. */
function systemError(errno, syscall, facts) {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${syscall} ${code}`), { errno, code, syscall }, facts);
}

module.exports = { nodeError, systemError };
