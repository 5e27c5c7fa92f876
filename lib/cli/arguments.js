// Reads the arguments of the command line, by the tables of lib/cli/usage.js. Pure, but for the working directory.
'use strict';

const path = require('node:path');

const { Failure, MISUSED } = require('./failure');
const { otherwise } = require('./pm2-words');
const { COMMAND, COMMANDS, COMMON } = require('./usage');

const DEFAULT_SECONDS = 10;

/**
 * `{command, operands, options, dir, pid, within}`: `dir` is absolute, `within` in ms, undefined where nothing was
 * said. Or `{help, command}`, or `{version}`. Throws a Failure that names what is wrong.
 */
function parse(args) {
  const [command, ...rest] = args;
  if (command === '--version' || command === '-v') return { version: true };
  if (command === undefined) throw misused('say what to do');
  if (command === '--help' || command === '-h' || command === 'help') return helpOn(rest[0]);
  if (!Object.hasOwn(COMMANDS, command)) throw misused(`there is no command '${command}'${otherwise(command)}`);
  const known = COMMANDS[command];
  if (rest[0] === '--help' || rest[0] === '-h') return { help: true, command };
  // What comes after the script is the script's.
  if (known.rest) return { command, operands: rest };
  const { operands, options, isHelp } = sort(command, rest, { ...known.options, ...COMMON });
  if (isHelp) return { help: true, command };
  const count = known.count ?? 0;
  if (operands.length < count) throw misused(`${command} needs ${known.operands}`, command);
  if (operands.length > count) throw misused(`${command} does not take '${operands[count]}'`, command);
  return {
    command,
    operands,
    options,
    dir: path.resolve(options.pids ?? 'pids'),
    pid: options.pid === undefined ? undefined : number(command, '--pid', options.pid, 1),
    within: options.timeout === undefined ? undefined : number(command, '--timeout', options.timeout, 0) * 1000,
  };
}

/** A number that an option was given. */
function number(command, name, text, least) {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < least) {
    throw misused(`${name} takes a number that is not below ${least}, got '${text}'`, command);
  }
  return value;
}

function helpOn(command) {
  return { help: true, command: command !== undefined && Object.hasOwn(COMMANDS, command) ? command : undefined };
}

// Options from operands; `--name value` and `--name=value` are the same.
function sort(command, args, known) {
  const [operands, options] = [[], {}];
  for (let at = 0; at < args.length; at += 1) {
    const arg = longForm(args[at], known);
    if (arg === '--help' || arg === '-h') return { isHelp: true };
    // A number with a sign is an operand: `scale -1`.
    if (!arg.startsWith('-') || /^-\d+$/.test(arg)) {
      operands.push(arg);
      continue;
    }
    const cut = arg.indexOf('=');
    const name = arg.slice(2, cut < 0 ? undefined : cut);
    const isKnown = arg.startsWith('--') && Object.hasOwn(known, name);
    if (!isKnown) throw misused(`${command} has no option '${arg}'`, command);
    const { value, many } = known[name];
    if (value === undefined) {
      if (cut >= 0) throw misused(`--${name} takes no value`, command);
      options[name] = true;
      continue;
    }
    if (cut < 0) at += 1;
    const given = cut < 0 ? args[at] : arg.slice(cut + 1);
    if (given === undefined) throw misused(`--${name} needs a value: ${value}`, command);
    options[name] = many ? [...options[name] ?? [], given] : given;
  }
  return { operands, options };
}

// `-f` is `--follow`.
function longForm(arg, known) {
  const [name] = Object.entries(known).find(([, { short }]) => short === arg) ?? [];
  return name === undefined ? arg : `--${name}`;
}

function misused(problem, command) {
  const help = [COMMAND, command, '--help'].filter(Boolean).join(' ');
  return new Failure(MISUSED, `${problem}; see \`${help}\``);
}

module.exports = { parse, number, misused, DEFAULT_SECONDS };
