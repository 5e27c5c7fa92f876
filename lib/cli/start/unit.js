// `cluster2 unit`: prints a unit by which systemd starts at every boot what `cluster2 start` would start now.
//
// It takes the words that `start` takes, and finds the same mistakes in them. Writing the file and enabling it is left
// to whoever may do that. Owns nothing and starts nothing.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { Failure, FAILED } = require('../failure');
const { nameByShell } = require('../../master/worker-settings');
const { print } = require('../stdout');
const { say } = require('../../shared/stderr');
const { name: PACKAGE, version } = require('../../../package.json');
const { understood } = require('./start');

const BIN = fs.realpathSync(path.join(__dirname, '../../../bin/cluster2.js'));
// The names under which it may be installed.
const PACKAGES = [PACKAGE, 'cluster2'];
// What a stop may take beyond what the options say: 2 s for the queues, 2 s for the clean-up in the master, a reserve.
const SLACK_MS = 5000;
// The supervising thread has stood still for so long: systemd starts the cluster anew.
const WATCHDOG_S = 30;
// What needs no quotes in a command line of systemd's.
const BARE = /^[\w@%+=:,./-]+$/;

async function unit({ operands }) {
  const { file, isMaster, notes, options, parsed } = await understood(operands);
  for (const note of notes) say(`cluster2: ${note}`);
  const here = nameByShell(process.cwd()) ?? process.cwd();
  const isLink = here !== process.cwd();
  const command = [process.execPath, binFor(here)];
  // The name of a link is lost where systemd enters the directory; a reload is to follow it.
  const start = [...command, 'start', ...isLink && !options.cwd ? ['--cwd', here] : [], ...operands];
  const name = nameOf(options, here);
  const pids = path.resolve(here, options.pids ?? 'pids');
  const reload = [...command, 'reload', '--wait', '--pids', pids, '--pid'].map(quoted).join(' ');
  const { drainDelay, killTimeout, shutdownTimeout } = parsed;
  print([
    `# ${name}.service, made by ${PACKAGE} ${version}`,
    '[Unit]',
    `Description=${escaped(path.relative(here, file) || file)} in workers of ${PACKAGE}`,
    'Wants=network-online.target',
    'After=network-online.target',
    '',
    '[Service]',
    // Who runs another package's master need not hear of it.
    ...isMaster ? [] : ['Type=notify', 'NotifyAccess=main', `WatchdogSec=${WATCHDOG_S}`],
    `User=${os.userInfo().username}`,
    `WorkingDirectory=${escaped(here)}`,
    `ExecStart=${start.map(quoted).join(' ')}`,
    ...isMaster ? [] : [`ExecReload=${reload} $MAINPID`],
    'KillMode=mixed',
    `TimeoutStopSec=${Math.ceil((drainDelay + shutdownTimeout + killTimeout + SLACK_MS) / 1000)}`,
    'Restart=on-failure',
    'RestartSec=1',
    '# Its options were not understood: another try would be no better.',
    'RestartPreventExitStatus=2',
    '',
    '[Install]',
    'WantedBy=multi-user.target',
  ].join('\n'));
  if (isLink && options.pids === undefined) {
    say(`cluster2: ${here} is behind a symbolic link: give --pids a directory that does not change with it`);
  }
  say(`cluster2: as /etc/systemd/system/${name}.service it starts at every boot, and now, by ` +
    `\`sudo systemctl enable --now ${name}\``);
}

module.exports = { unit };

// By the name of the directory, which may be a link; npm replaces what is behind it.
function binFor(here) {
  for (let at = here; ; at = path.dirname(at)) {
    const found = PACKAGES.map((name) => path.join(at, 'node_modules', name, 'bin/cluster2.js')).find(isOurs);
    if (found) return found;
    if (at === path.dirname(at)) break;
  }
  if (!BIN.includes(`${path.sep}_npx${path.sep}`)) return BIN;
  throw new Failure(FAILED, `${PACKAGE} is not installed here, but in the cache of npx, where it may go at any time: ` +
    `\`npm install ${PACKAGE}\` first`);
}

function isOurs(file) {
  try {
    return fs.realpathSync(file) === BIN;
  } catch {
    return false;
  }
}

function nameOf({ name }, here) {
  const ofPackage = () => {
    try {
      return JSON.parse(fs.readFileSync(path.join(here, 'package.json'), 'utf8')).name;
    } catch {
      return undefined;
    }
  };
  const given = String(name ?? ofPackage() ?? path.basename(here));
  return given.replace(/^@/, '').replace(/[^\w.-]+/g, '-') || 'app';
}

// A word of a command line of systemd's.
function quoted(word) {
  const text = escaped(word).replaceAll('$', '$$$$');
  if (BARE.test(text)) return text;
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

// `%` begins what systemd fills in.
function escaped(text) {
  return text.replaceAll('%', '%%');
}
