// All that tests need from here, in one require.
'use strict';

module.exports = {
  ...require('./program'),
  ...require('./client'),
  ...require('./processes'),
  ...require('./standard'),
  ...require('./wait'),
};
