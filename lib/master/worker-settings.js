// How workers are to be started: what `cluster.fork` would take from this process, with paths that follow a
// symbolic link.
//
// The master makes one `Launcher` at its start and asks it for settings then and at each reload. A release is
// often a directory behind a link that is switched. So the names under which the user knew the working
// directory and the script are kept, and looked up afresh when settings are made; in between, every worker
// starts in the place that was found then.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const errors = require('../shared/errors');
const { isDirectory } = require('../shared/file-kind');
const { currentTarget } = require('../shared/native');

// The largest id that `child_process` takes.
const LAST_ID = 2 ** 31 - 1;
// What a service manager says to this process alone.
const NOT_FOR_WORKERS = { NOTIFY_SOCKET: undefined, WATCHDOG_PID: undefined, WATCHDOG_USEC: undefined };
const INSPECT = /--inspect(?:-brk|-port)?|--debug-port/;

/** The settings where nobody is ever started (`cluster: false`). */
const NOBODY = { execPath: process.execPath, execArgv: [], script: '', args: [], env: {}, inspectPort: null };

class Launcher {
  #cwd;
  #script;
  #follows;
  #user;
  #exec;
  #env;
  #instanceEnv;

  /**
   * The options; `cwd` may be null. `uid` and `gid` may also come from `cluster.setupPrimary`. `script` says how
   * workers run a script as it is (lib/master/script.js), where they do.
   * Throws ERR_CLUSTER2_NO_SCRIPT, ERR_CLUSTER2_INVALID_ARGUMENT, ERR_CLUSTER2_INVALID_OPTION.
   */
  constructor({ cwd, env, gid, instanceEnv, uid }, script) {
    // Whoever runs a script as it is has no reason to load `node:cluster`.
    const { settings } = script ? { settings: {} } : require('node:cluster');
    this.#user = { uid: idOf('uid', uid ?? settings.uid), gid: idOf('gid', gid ?? settings.gid) };
    this.#exec = script;
    // Undefined takes a variable out.
    this.#env = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? undefined]));
    this.#instanceEnv = instanceEnv;
    const file = script?.file ?? process.argv[1];
    if (!file) throw errors.createError('ERR_CLUSTER2_NO_SCRIPT');
    if (typeof cwd === 'string' && !isDirectory(cwd)) {
      const text = `option \`cwd\` must be a directory that is there, got '${cwd}'`;
      throw new errors.Cluster2Error('ERR_CLUSTER2_INVALID_OPTION', text);
    }
    const here = process.cwd();
    this.#cwd = cwd ?? nameByShell(here) ?? here;
    // Node makes a relative script absolute by the directory's real name, which hides the link.
    const below = path.relative(here, file);
    const isBelow = below !== '' && !below.startsWith('..') && !path.isAbsolute(below);
    this.#script = isBelow ? path.join(nameByShell(here) ?? here, below) : file;
    // Without a link and without the option a worker is started exactly as `cluster.fork` would.
    this.#follows = cwd !== null || this.#cwd !== here;
  }

  #program() {
    const script = path.join(fs.realpathSync(path.dirname(this.#script)), path.basename(this.#script));
    if (this.#exec) return { script, args: this.#exec.args };
    const args = process.argv.slice(2);
    const outer = runner();
    return outer === undefined ? { script, args } : { script: outer, args: [script, ...args] };
  }

  /** The settings as they are now. Throws what the file system says where a directory has gone. */
  settings() {
    return {
      execPath: process.execPath,
      execArgv: [...process.execArgv, ...this.#exec?.execArgv ?? []],
      ...this.#program(),
      // The target spares them a look into the program file, which is the same.
      env: { ...process.env, ...NOT_FOR_WORKERS, ...this.#env, ...this.#exec?.env, CLUSTER2_TARGET: currentTarget() },
      instanceEnv: this.#instanceEnv,
      cwd: this.#follows ? fs.realpathSync(this.#cwd) : null,
      inspectPort: wantsInspector(process.execArgv) ? process.debugPort : null,
      ...this.#user,
    };
  }
}

// A number as `child_process` takes it; null is the master's own.
function idOf(name, given) {
  if (given === undefined || given === null) return null;
  if (Number.isInteger(given) && given >= 0 && given <= LAST_ID) return given;
  throw errors.createError('ERR_CLUSTER2_INVALID_ARGUMENT', name, `a whole number from 0 to ${LAST_ID}`, given);
}

// The file that Node was told to run, where that is not the script but a program that runs the script within itself
// (`coffee app.coffee`): the main module is cached by the first name, and has taken the second.
function runner() {
  const { cache, main } = require;
  const [file] = Object.entries(cache).find(([, module]) => module === main) ?? [];
  return file === main?.filename ? undefined : file;
}

/** $PWD, where it names the directory `here`; it may be a leftover of another process. */
function nameByShell(here) {
  const name = process.env.PWD;
  if (!name || !path.isAbsolute(name)) return undefined;
  try {
    return fs.realpathSync(name) === fs.realpathSync(here) ? path.normalize(name) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether workers that are started with these flags are to have an inspector each. */
function wantsInspector(execArgv) {
  return execArgv.some((flag) => INSPECT.test(flag)) || INSPECT.test(process.env.NODE_OPTIONS ?? '');
}

module.exports = { Launcher, NOBODY, nameByShell, wantsInspector };
