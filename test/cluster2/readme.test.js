// The scripts of cluster2's own README, run with this checkout; they differ in the package's name alone.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { PACKAGE } = require('../support');
const { describeReadme } = require('../support/readme');

describeReadme("the README's script", 'cluster2-rs', (cwd) => {
  fs.mkdirSync(path.join(cwd, 'node_modules'));
  fs.symlinkSync(PACKAGE, path.join(cwd, 'node_modules', 'cluster2-rs'));
});
