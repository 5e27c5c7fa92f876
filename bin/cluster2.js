#!/usr/bin/env node
// The command `cluster2`: what it understands and does is in lib/cli/.
'use strict';

require('../lib/shared/check-node');
require('../lib/cli/main').main(process.argv.slice(2));
