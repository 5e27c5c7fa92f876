// SIGKILL of the master; its workers must be gone within a second, and the next master serves on the same ports.
'use strict';

module.exports = {
  every: 5,
  share: 0.35,
  run: (target) => target.replaceMaster(),
};
