// A component that is loaded by its path, for test/apps/components.js.
'use strict';

module.exports = (first, second) => () => first * second;
