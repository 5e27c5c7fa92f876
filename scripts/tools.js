'use strict';

// What the scripts of this folder share: where the checkout is, how a program is run and its output kept, and
// how content is hashed. Everything here is plain Node, because on a fresh clone nothing is installed when it
// runs.

const { spawn } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '..');
const cache = path.join(root, '.cache');

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'];

if (Number(process.versions.node.split('.')[0]) < 18) {
  process.stderr.write(`Node 18 or later is needed; this is ${process.version}.\n`);
  process.exit(1);
}

/**
 * Runs a program to its end and says how it went; it never throws and never rejects.
 *
 * Output goes straight to the terminal, unless `output` says otherwise for what the program writes to stdout:
 * 'tee' shows and returns it, 'take' only returns it; 'hide' takes stderr as well. `timeout` (ms) and `abort`
 * (a signal) end a program that does not end by itself.
 */
function run(command, args, { output: mode = 'show', env = {}, timeout = 0, abort } = {}) {
  const stdio = ['ignore', mode === 'show' ? 'inherit' : 'pipe', mode === 'hide' ? 'pipe' : 'inherit'];
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio });
    const end = () => child.kill('SIGKILL');
    const leave = endTogether(child);
    let output = '';
    let overdue = false;
    const timer = timeout > 0 && setTimeout(() => {
      overdue = true;
      end();
    }, timeout);
    const finish = (code, signal, error) => {
      clearTimeout(timer);
      abort?.removeEventListener('abort', end);
      leave();
      resolve({ ok: code === 0, signal, error, overdue, output });
    };
    abort?.addEventListener('abort', end);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        output += chunk;
        if (mode === 'tee') process.stdout.write(chunk);
      });
    }
    child.on('error', (error) => finish(null, null, error));
    child.on('exit', (code, signal) => {
      // A grandchild that holds the pipe open must not keep us for ever: what the program itself wrote is in
      // the pipe by now, and is read well within this time.
      const settle = setTimeout(() => finish(code, signal), 500);
      child.on('close', () => {
        clearTimeout(settle);
        finish(code, signal);
      });
    });
  });
}

/** Passes the signals that end this process on to a child. Returns the function that takes that back. */
function endTogether(child) {
  const pass = (signal) => {
    child.kill(signal);
    leave();
    process.kill(process.pid, signal);
  };
  const leave = () => ENDING.forEach((signal) => process.removeListener(signal, pass));
  ENDING.forEach((signal) => process.on(signal, pass));
  return leave;
}

/** Runs a tool of node_modules, such as `eslint/bin/eslint.js`, without npm in between. */
function runTool(entry, args) {
  return run(process.execPath, [path.join(root, 'node_modules', entry), ...args]);
}

/**
 * Runs npm by the very file that started this script, so that the two are of one version; else the npm on the
 * PATH.
 */
function npm(args, options) {
  const entry = process.env.npm_execpath;
  if (entry !== undefined && path.basename(entry) === 'npm-cli.js') {
    return run(process.execPath, [entry, ...args], options);
  }
  return run('npm', args, options);
}

/** The SHA-256 of files' names and contents; null as soon as one cannot be read. */
function hashFiles(files) {
  const hash = createHash('sha256');
  for (const file of files) {
    let content;
    try {
      content = fs.readFileSync(path.join(root, file));
    } catch {
      return null;
    }
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/**
 * Every file below a folder of the checkout, sorted, as paths from the root; none if the folder does not
 * exist.
 */
function filesBelow(folder) {
  const found = [];
  const visit = (name) => {
    for (const entry of fs.readdirSync(path.join(root, name), { withFileTypes: true })) {
      const below = path.posix.join(name, entry.name);
      if (entry.isDirectory()) visit(below);
      else found.push(below);
    }
  };
  if (fs.existsSync(path.join(root, folder))) visit(folder);
  return found.sort();
}

/** A JSON file of the checkout, or null where there is none or it is damaged. */
function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(path.join(root, file), 'utf8'));
  } catch {
    return null;
  }
}

function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Tells the user something, set off from the output of the programs that are run. */
function say(text) {
  process.stdout.write(`${process.stdout.isTTY ? `\u001b[1m${text}\u001b[0m` : text}\n`);
}

module.exports = { root, cache, run, runTool, npm, hashFiles, filesBelow, readJson, isFile, say };
