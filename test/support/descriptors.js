// For programs under test: uses up all descriptors that the process may have.
'use strict';

const fs = require('node:fs');

/** Gives the code of the error that says that there are no more. */
function useUpDescriptors() {
  for (;;) {
    try {
      fs.openSync('/dev/zero');
    } catch (error) {
      return error.code;
    }
  }
}

module.exports = { useUpDescriptors };
