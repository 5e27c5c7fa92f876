// Node's timers and its clock as they are when this package is loaded.
//
// An application may put others in their place: sinon and jest have false ones, which stand still until a test moves
// them. A drain, a deadline or a check that waited by those would never come. So lib/cluster.js loads this file at
// once, and the files of lib/ take timers from here. Owns nothing.
'use strict';

const { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = require('node:timers');

const { performance } = globalThis;

module.exports = { clearInterval, clearTimeout, performance, setImmediate, setInterval, setTimeout };
