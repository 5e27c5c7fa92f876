// Scripts that know nothing of this package, under the command `cluster2 start`: written to a directory and started.
//
// The processes go with `reap`, the directories with `removeDirectories`.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { makeDirectory, PACKAGE, start } = require('./program');

const BIN = path.join(PACKAGE, 'bin/cluster2.js');
// A plain server; what it says of itself is JSON.
const SERVER = `
const http = require('node:http');
const server = http.createServer((request, response) => {
  const { argv, env, execArgv, pid } = process;
  const facts = { pid, argv: argv.slice(1), execArgv, isMain: require.main === module, path: request.url, env };
  setTimeout(() => response.end(JSON.stringify(facts)), request.url.startsWith('/slow') ? 300 : 0);
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
`;

const directories = new Set();

/** A new directory with these files, by name; it goes with `removeDirectories`. */
function directoryOf(files) {
  const directory = makeDirectory();
  directories.add(directory);
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
  return directory;
}

/**
 * Runs `cluster2 start` with these arguments where these files are; without a monitor unless the arguments say one, or
 * `hasMonitor` leaves it to the default.
 */
function startScript(files, args, { env, hasMonitor = args.includes('--monitor'), ...options } = {}) {
  const cwd = typeof files === 'string' ? files : directoryOf(files);
  const monitor = hasMonitor ? [] : ['--monitor', 'off'];
  return start(BIN, { cwd, args: ['start', ...monitor, ...args], env, ...options });
}

/** The same with `--json`, until every worker serves: the program with `port`, where its first server listens. */
async function servingScript(files, args, options) {
  const program = startScript(files, ['--json', ...args], options);
  const ready = await program.line('ready');
  return Object.assign(program, { ready, port: portOf(ready.addresses[0]) });
}

/** For `after`. */
function removeDirectories() {
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
  directories.clear();
}

module.exports = { BIN, SERVER, directoryOf, portOf, removeDirectories, servingScript, startScript };

function portOf(address) {
  return address === undefined ? undefined : Number(/:(\d+)/.exec(address)?.[1]);
}
