// A configuration file of any content is understood, or refused in a sentence with the exit status of misuse.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const fc = require('fast-check');

const { MISUSED, Failure } = require('../../lib/cli/failure');
const { readConfig } = require('../../lib/cli/start/config');
const { merged } = require('../../lib/cli/start/options');
const errors = require('../../lib/shared/errors');
const { load } = require('../../lib/shared/native');
const { encode } = require('../../lib/shared/options-json');
const { holdsInTime } = require('../support/properties');

const FILES = ['cluster2.config.json', 'ecosystem.json'];
const OURS = ['script', 'exec', 'workers', 'monitor', 'ecv', 'env', 'instanceEnv', 'args', 'nodeArgs', 'port', 'name'];
const OF_PM2 = ['apps', 'script', 'exec', 'name', 'instances', 'args', 'node_args', 'nodeArgs', 'env', 'env_production',
  'max_memory_restart', 'kill_timeout', 'wait_ready', 'increment_var', 'instance_var', 'uid', 'exec_mode',
  'interpreter', 'autorestart', 'watch', 'time', 'restart_delay', 'source_map_support', 'user'];
/** Names that every object has, and that a table which is an object seems to have as well. */
const OF_ALL = Object.getOwnPropertyNames(Object.prototype);

const scalar = fc.constantFrom(null, true, false, 0, 1, -1, 4, 0.5, 1e21, '', 'max', 'auto', 'off', 'app.js', '3001',
  'localhost:3001', '[::1]:3001', '/ecv', '300M', '1.5.2G', 'cluster_mode', 'a "b c" d', 'node', '__proto__', '\0');
const name = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...OURS, ...OF_PM2) }, fc.constantFrom(...OF_ALL),
  fc.string({ maxLength: 6 }));
const { value } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4, withCrossShrink: true }, { weight: 4, arbitrary: scalar }, fc.jsonValue(),
    fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(name, tie('value'), { maxKeys: 6 })),
}));
/** The text of a file: JSON, sometimes cut short, sometimes none at all. */
const text = fc.oneof({ weight: 8, arbitrary: value.map((given) => JSON.stringify(given)) },
  value.map((given) => JSON.stringify(given).slice(0, -1)), fc.string());
const environment = fc.constantFrom(undefined, 'production', 'toString');
const only = fc.constantFrom(undefined, 'app', 'constructor');

describe('a configuration file', () => {
  let folder;

  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cluster2-config-'));
  });

  afterEach(() => {
    fs.rmSync(folder, { recursive: true });
  });

  it('of any content is understood, or refused in a sentence', async () => {
    await holdsInTime(fc.asyncProperty(fc.constantFrom(...FILES), text, environment, only, async (file, ...given) => {
      const config = path.join(folder, file);
      fs.writeFileSync(config, given[0]);
      const flags = { config, options: { args: [] }, environment: given[1], only: given[2] };
      try {
        const { options, notes } = merged(flags, await readConfig(flags));
        assert.ok(notes.every((note) => typeof note === 'string'), notes);
        understood(options);
      } catch (error) {
        assert.ok(error instanceof Failure, error);
        assert.equal(error.status, MISUSED);
      }
    }), 500);
  });

  it('may have names that every object has, and they are options that are not known', async () => {
    for (const file of FILES) {
      const app = Object.fromEntries(OF_ALL.map((name) => [name, 1]));
      const config = path.join(folder, file);
      fs.writeFileSync(config, JSON.stringify({ ...app, script: 'app.js', ['__proto__']: 1 }));
      const { options, notes = [] } = await readConfig({ config, options: { args: [] } });
      const warnings = load().parseOptions(encode({ exec: options.exec, ...options })).warnings;
      for (const name of ['toString', 'constructor', 'valueOf']) {
        assert.ok([...notes, ...warnings].some((line) => line.includes(name)), `${file} says nothing of ${name}`);
      }
    }
  });
});

// What the addon makes of it: options, or an error with a code.
function understood(options) {
  try {
    load().parseOptions(encode(options));
  } catch (error) {
    assert.match(errors.fromNative(error).code, /^ERR_CLUSTER2_/);
  }
}
