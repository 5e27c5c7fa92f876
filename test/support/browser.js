// A real browser for tests of pages: Debian's Chromium, driven over its own protocol.
//
// Whoever opens it closes it with `closeBrowser`, which ends all of its processes. A machine without Chromium, or a
// checkout without playwright-core, is no failure: `whyNoBrowser` says what is missing.
'use strict';

const fs = require('node:fs');

const PROGRAM = process.env.CLUSTER2_CHROMIUM ?? '/usr/bin/chromium';
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
const START_MS = 60_000;

let browser;

/** Why there can be no browser; undefined where there can. */
function whyNoBrowser() {
  if (!fs.existsSync(PROGRAM)) return `no Chromium at ${PROGRAM}`;
  try {
    require.resolve('playwright-core');
    return undefined;
  } catch {
    return 'playwright-core is not installed';
  }
}

/** A page in a context of its own, with `seen`: requests, messages of the console, uncaught errors. */
async function openPage(options) {
  browser ??= await require('playwright-core').chromium
    .launch({ executablePath: PROGRAM, args: ARGUMENTS, timeout: START_MS });
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const seen = { requests: [], complaints: [] };
  page.on('request', (request) => seen.requests.push(request.url()));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') seen.complaints.push(message.text());
  });
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  page.setDefaultTimeout(30_000);
  return Object.assign(page, { seen });
}

async function closeBrowser() {
  const open = browser;
  browser = undefined;
  await open?.close();
}

module.exports = { whyNoBrowser, openPage, closeBrowser };
