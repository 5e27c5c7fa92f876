// For programs under test: uses up all descriptors that the process may have.
'use strict';

const fs = require('node:fs');

/** Gives the code of the error that says that there are no more. */
function useUpDescriptors() {
  return takeDescriptors().code;
}

/** The same; also gives what `release()` gives them back. */
function takeDescriptors() {
  const taken = [];
  const release = () => { for (const fd of taken) fs.closeSync(fd); };
  for (;;) {
    try {
      taken.push(fs.openSync('/dev/zero'));
    } catch ({ code }) {
      return { code, release };
    }
  }
}

module.exports = { useUpDescriptors, takeDescriptors };
