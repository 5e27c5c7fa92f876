// The master of a cluster whose workers run app.js as it is: this process runs none of it.
'use strict';

const path = require('node:path');

const Cluster = require('../support/cluster');
const { attend } = require('./master');
const options = require('../support/options');

const APP = path.join(__dirname, 'app.js');
// The script asks for its ports by itself.
const { port: _, host: __, ...others } = options;

const script = { exec: APP, env: { TORTURE_AS_SCRIPT: '1' }, waitReady: true };
// Where a script is run as it is, ECV is on where it is asked for.
const c = new Cluster({ ...others, ...script, ecv: { path: '/ecv' } });
attend(c);
c.listen();
