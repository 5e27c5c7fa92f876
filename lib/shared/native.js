'use strict';

// Finds and loads the native addon: the file that a build left in the package's own folder, else the package
// that was published for this platform. index.js calls it in the master and in every worker, so it does
// little and caches. It owns nothing; a platform that is not supported, or a file that is missing, is an
// error that says what to do.

const fs = require('node:fs');
const path = require('node:path');

const { createError } = require('./errors');

const SUPPORTED = [
  'linux-x64-gnu',
  'linux-x64-musl',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
];

const PACKAGE = 'cluster2-rs';
const FOLDER = path.resolve(__dirname, '../..');

// The type of the program header that names the dynamic loader, in every ELF file.
const PT_INTERP = 3;

let addon;
let file;
let target;

/**
 * Returns the addon; the first call loads it. Throws ERR_CLUSTER2_UNSUPPORTED_PLATFORM,
 * ERR_CLUSTER2_NATIVE_MISSING, ERR_CLUSTER2_PERMISSION.
 */
function load() {
  try {
    addon ??= require(addonFile());
  } catch (cause) {
    if (!isForbidden()) throw cause;
    throw Object.assign(createError('ERR_CLUSTER2_PERMISSION', currentTarget(), FOLDER), { cause });
  }
  return addon;
}

// Whether Node runs with --permission, and without what the addon needs.
function isForbidden() {
  const { permission } = process;
  return permission !== undefined && !(permission.has('addon') && permission.has('fs.read', FOLDER));
}

/** The file that `load` loads. */
function addonFile() {
  file ??= locate(currentTarget(), FOLDER);
  return file;
}

/** What a worker was told by its master, whose program file it runs: then nobody looks into that again. */
function useTarget(known) {
  target = known;
}

/** The target of this process, such as `linux-x64-gnu`. */
function currentTarget() {
  const { platform, arch } = process;
  target ??= targetName(platform, arch, platform === 'linux' ? libcName() : undefined);
  return target;
}

/** The name under which the addon for a platform is built and published. `libc` matters on Linux only. */
function targetName(platform, arch, libc) {
  const target = platform === 'linux' ? `linux-${arch}-${libc}` : `${platform}-${arch}`;
  if (SUPPORTED.includes(target)) return target;
  throw createError('ERR_CLUSTER2_UNSUPPORTED_PLATFORM', target, SUPPORTED);
}

/** The addon's file for a target: the one in `folder` if it is there, else that of the platform's package. */
function locate(target, folder, resolve = require.resolve) {
  const built = path.join(folder, `${PACKAGE}.${target}.node`);
  if (fs.existsSync(built)) return built;
  const name = `${PACKAGE}-${target}`;
  try {
    return resolve(name);
  } catch (cause) {
    const error = createError('ERR_CLUSTER2_NATIVE_MISSING', target, [built, name], adviceFor(folder));
    throw Object.assign(error, { cause });
  }
}

/**
 * Which C library this Node was linked with. An addon must match it, whatever else is installed on the
 * machine.
 */
function libcName() {
  return libcOfLoader(loaderOf(process.execPath) ?? '') ?? libcOfReport();
}

/** The C library to which a dynamic loader belongs; undefined if its name does not tell. */
function libcOfLoader(loader) {
  const name = path.basename(loader);
  if (name.startsWith('ld-musl-')) return 'musl';
  return name.startsWith('ld-linux') ? 'gnu' : undefined;
}

/** What Node says about itself: slower, and so only asked where the program file did not tell. */
function libcOfReport() {
  return process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'gnu';
}

/**
 * The dynamic loader that a 64-bit little-endian ELF program asks for; undefined if it is none or asks for
 * none.
 */
function loaderOf(file) {
  let fd;
  try {
    fd = fs.openSync(file, 'r');
    const header = readAt(fd, 0, 64);
    if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return undefined;
    const size = header.readUInt16LE(54);
    const table = readAt(fd, Number(header.readBigUInt64LE(32)), size * header.readUInt16LE(56));
    for (let start = 0; start < table.length; start += size) {
      if (table.readUInt32LE(start) !== PT_INTERP) continue;
      const length = Number(table.readBigUInt64LE(start + 32));
      const name = readAt(fd, Number(table.readBigUInt64LE(start + 8)), length).toString('latin1');
      return name.replace(/\0.*$/s, '');
    }
    return undefined;
  } catch {
    // Unreadable or damaged: the caller has another way to find out.
    return undefined;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

/** Reads a part of a file; a part that reaches beyond its end, or beyond reason, is an error. */
function readAt(fd, position, length) {
  if (length > 65536) throw new RangeError('not the header of a program');
  const buffer = Buffer.alloc(length);
  if (fs.readSync(fd, buffer, 0, length, position) !== length) throw new RangeError('the file is too short');
  return buffer;
}

// A bundler leaves the addon behind, and this file is then a part of another.
function adviceFor(folder) {
  if (!fs.existsSync(path.join(__dirname, 'native.js'))) {
    return `A bundler has put ${PACKAGE} into ${__filename}, without its addon: let it leave the package out ` +
      `(esbuild: \`--external:${PACKAGE}\`; webpack: \`externals\`; rollup: \`external\`), and install the package ` +
      'where the bundle runs';
  }
  return 'In a checkout, run `npm run build`; elsewhere, install again with optional dependencies ' +
    `(\`npm install --include=optional ${PACKAGE}\`), allow its install script (\`npm install-scripts approve ` +
    `${PACKAGE}\`, \`pnpm approve-builds\`), or build it with cargo: ` +
    `\`node ${path.join(folder, 'scripts/install.js')}\``;
}

module.exports = { SUPPORTED, load, addonFile, useTarget, targetName, locate, libcOfLoader, loaderOf, currentTarget };
