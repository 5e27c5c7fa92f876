// What nodemon is to a script: the parent that passes signals on, and is known by its name alone.
'use strict';

const { spawn } = require('node:child_process');

const child = spawn(process.execPath, [process.argv[2]], { stdio: 'inherit' });
for (const signal of ['SIGUSR2', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => process.exit(code));
