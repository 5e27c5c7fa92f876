'use strict';

// Packages of frameworks that are too heavy for everybody who runs the tests: fetched when they are asked for, each
// set into a folder of its own below .cache/frameworks/, once.

const fs = require('node:fs');
const path = require('node:path');

const { root, cache, npm, readJson, say } = require('./tools.js');

/** What is fetched, and the first Node on which it runs. */
const SETS = {
  nest: {
    node: [20, 0],
    packages: {
      '@nestjs/common': '12',
      '@nestjs/core': '12',
      '@nestjs/platform-express': '12',
      '@nestjs/platform-fastify': '12',
      'reflect-metadata': '0.2',
      'rxjs': '7',
    },
  },
  next: { node: [20, 9], packages: { 'next': '16', 'react': '19', 'react-dom': '19' } },
  servers: {
    node: [20, 19],
    packages: { '@grpc/grpc-js': '1', '@hapi/hapi': '21', '@hono/node-server': '2', 'hono': '4' },
  },
  handlers: {
    node: [20, 19],
    packages: { 'connect': '3', 'graphql': '16', 'graphql-yoga': '5', 'h3': '2', 'polka': '0.5', 'restify': '12' },
  },
  apollo: {
    node: [20, 0],
    packages: { '@apollo/server': '5', '@as-integrations/express5': '1', 'express': '5', 'graphql': '16' },
  },
  tsx: { node: [18, 0], packages: { 'tsx': '4' } },
};

const FOLDER = path.join(cache, 'frameworks');
const LONGEST_FETCH = 5 * 60_000;

/** Gives `{home}`, a folder with the set in its node_modules, or `{problem}`, why there is none. */
async function obtainSet(name) {
  const { node, packages } = SETS[name];
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < node[0] || (major === node[0] && minor < node[1])) return { problem: `it needs Node ${node.join('.')}` };
  const home = path.join(FOLDER, name);
  const wanted = { private: true, dependencies: packages };
  const fetched = readJson(path.relative(root, path.join(home, 'fetched.json')));
  const isThere = JSON.stringify(fetched) === JSON.stringify(wanted);
  return isThere ? { home } : fetchSet(name, home, wanted);
}

async function fetchSet(name, home, wanted) {
  say(`Fetching ${Object.entries(wanted.dependencies).map((entry) => entry.join('@')).join(' ')}`);
  fs.rmSync(home, { recursive: true, force: true });
  fs.mkdirSync(home, { recursive: true });
  fs.writeFileSync(path.join(home, 'package.json'), JSON.stringify(wanted));
  const quick = ['--no-audit', '--no-fund', '--fetch-retries=1', '--fetch-retry-mintimeout=1000'];
  const args = ['install', ...quick, '--prefix', home];
  const { ok, overdue, output } = await npm(args, { output: 'hide', timeout: LONGEST_FETCH });
  if (ok) {
    // Last, so that a set that was fetched in part is fetched again.
    fs.writeFileSync(path.join(home, 'fetched.json'), JSON.stringify(wanted));
    return { home };
  }
  const reason = overdue ? 'it took too long' : output.match(/npm (?:error|ERR!) (?!code|syscall|errno)(.*)/)?.[1];
  return { problem: `${name} could not be fetched${reason ? `: ${reason}` : ''}` };
}

module.exports = { obtainSet };
