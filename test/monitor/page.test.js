// The monitor's page as a browser shows it: true, live, for everybody, and from nowhere else.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');

const { closeBrowser, openPage, whyNoBrowser } = require('../support/browser');
const { connect, eventually, freePort, ready, reap, request, start, startMonitored } = require('../support');

const WIDE = { viewport: { width: 1280, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const TOKEN = 's3cret';
// What a change may take to be seen; machines that many share need some more.
const SEEN_MS = Number(process.env.CLUSTER2_PAGE_MS ?? 10_000);

const why = whyNoBrowser();

describe(`the monitor's page${why ? ` (skipped: ${why})` : ''}`, function page() {
  this.timeout(120_000);

  before(function check() {
    if (why) this.skip();
  });
  afterEach(reap);
  after(closeBrowser);

  async function startApp(options) {
    const program = await startMonitored(options);
    return Object.assign(program, { url: `http://127.0.0.1:${program.monPort}/` });
  }

  async function openLive(program, options = WIDE) {
    const opened = await openPage(options);
    await opened.goto(program.url);
    await opened.waitForSelector('#live.good');
    return opened;
  }

  const withToken = (options) => ({ ...options, httpCredentials: { username: 'any', password: TOKEN } });

  async function status(program) {
    return JSON.parse((await request(program.monPort, { path: '/status.json' })).body);
  }

  const pids = (shown) => shown.$$eval('#rows [data-cell="pid"]', (cells) => cells.map((cell) => +cell.textContent));

  it('shows the figures of /status.json', async () => {
    const program = await startApp();
    for (let asked = 0; asked < 50; asked += 1) await request(program.port, { path: '/pid' });
    const shown = await openLive(program);
    // Figures belong to a look; both must have told the same one.
    const [json, cells] = await eventually(async () => {
      const before = await status(program);
      const read = await shown.evaluate(readPage);
      const { look, figures } = before;
      return figures?.p50Ms != null && String(look.number) === read.look && [before, read];
    });
    assert.equal(cells.facts.workers, `${json.serving} of ${json.wanted}`);
    assert.deepEqual([cells.facts.state, cells.facts.ecv, cells.facts.ready], ['serving', 'enabled', 'yes']);
    assert.deepEqual(cells.rows.map((row) => row.pid), json.workers.map(({ pid }) => String(pid)));
    same(cells.facts, json.figures);
    json.workers.forEach((worker, at) => {
      assert.equal(cells.rows[at].state, worker.state);
      assert.equal(cells.rows[at].restarts, String(worker.restarts));
      same(cells.rows[at], worker.figures);
    });
    assert.deepEqual(cells.events.map((event) => event.name), json.events.map(({ event }) => event).reverse());
  });

  it('loses a worker that is killed and gets its successor, with what it had not answered', async () => {
    const program = await startApp();
    const client = await connect(program.port);
    client.get('/block?60000');
    const { args: [blocked] } = await program.line('blocked');
    const shown = await openLive(program);
    const begun = performance.now();
    process.kill(blocked, 'SIGKILL');
    await eventually(async () => {
      const now = await pids(shown);
      return now.length === 2 && !now.includes(blocked);
    }, { within: SEEN_MS });
    if (process.env.SHOW) console.log(`seen after ${Math.round(performance.now() - begun)} ms`);
    await shown.waitForFunction(() => [...document.querySelectorAll('#rows [data-cell="state"]')]
      .every((cell) => cell.textContent === 'serving'));
    const told = await shown.textContent('#timeline .lost');
    assert.match(told, /^1 request under way:GET \/block for [\d.]+ (ms|s)$/);
    const [death] = (await status(program)).events.filter(({ event }) => event === 'died');
    assert.deepEqual([death.pid, death.requestsLost, death.requests[0].path], [blocked, 1, '/block']);
    client.close();
  });

  it('loads nothing from elsewhere and has nothing to complain of', async () => {
    const program = await startApp();
    const shown = await openLive(program);
    const look = await shown.getAttribute('body', 'data-look');
    await shown.waitForFunction((before) => document.body.dataset.look > before, look);
    assert.deepEqual(shown.seen.complaints, []);
    assert.deepEqual([...new Set(shown.seen.requests)].sort(), [program.url, `${program.url}status.stream`]);
  });

  it('draws graphs of each worker and of all', async () => {
    const program = await startApp();
    const shown = await openLive(program);
    const drawn = () => shown.$$eval('svg .line', (lines) => lines.filter((line) => line.getAttribute('d')).length);
    await eventually(async () => await drawn() === 4 + 2 * 4);
  });

  it('sorts the workers by any column', async () => {
    const program = await startApp({ noWorkers: 3 });
    const shown = await openLive(program);
    const before = await pids(shown);
    const rising = [...before].sort((one, other) => one - other);
    const head = 'thead th:nth-child(2)';
    for (const [order, expected] of [['descending', [...rising].reverse()], ['ascending', rising], [null, before]]) {
      await shown.click(`${head} button`);
      assert.equal(await shown.getAttribute(head, 'aria-sort'), order);
      assert.deepEqual(await pids(shown), expected);
    }
  });

  it('says so when the cluster is gone, and comes back with it', async () => {
    const program = await startApp({ noWorkers: 1 });
    const shown = await openLive(program);
    program.kill('SIGKILL');
    await program.exit();
    await shown.waitForSelector('#live.poor');
    const { monPort } = program;
    const next = start('ecv', { options: { monPort, monHost: '127.0.0.1', noWorkers: 1 }, args: ['http'] });
    await ready(next, 1);
    await shown.waitForSelector('#live.good');
    await eventually(async () => (await pids(shown))[0] === next.workers[0]);
  });

  it('is whole without JavaScript', async () => {
    const program = await startApp();
    const shown = await openPage({ ...WIDE, javaScriptEnabled: false });
    await shown.goto(program.url);
    const text = await shown.content();
    const json = await status(program);
    for (const { pid } of json.workers) assert.match(text, new RegExp(`data-cell="pid">${pid}<`));
    assert.match(text, /data-cell="workers" class="good">2 of 2</);
    assert.match(text, /<noscript><meta http-equiv="refresh"/);
  });

  it('has no serious fault in accessibility, wide and narrow, light and dark', async () => {
    const program = await startApp({ monitor: { control: true, token: TOKEN } });
    process.kill(program.workers[0], 'SIGKILL');
    await program.line('died');
    for (const size of [WIDE, PHONE]) {
      for (const colorScheme of ['light', 'dark']) {
        const shown = await openLive(program, withToken({ ...size, colorScheme }));
        const faults = await findFaults(shown);
        assert.deepEqual(faults, [], `at ${size.viewport.width} in ${colorScheme}`);
        const width = await shown.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= size.viewport.width, `it is ${width} wide`);
        for (const path of ['logs', 'deps']) {
          await shown.goto(program.url + path);
          assert.deepEqual(await findFaults(shown), [], `/${path} at ${size.viewport.width} in ${colorScheme}`);
        }
        await shown.context().close();
      }
    }
  });

  it('is for those who know the token, where there is one', async () => {
    const program = await startApp({ monitor: { token: TOKEN } });
    const asked = (path, rest) => request(program.monPort, { path, ...rest }).then((answer) => answer.status);
    for (const path of ['/', '/status.json', '/status.stream', '/nothing', '/control/scale']) {
      assert.equal(await asked(path), 401, path);
    }
    for (const path of ['/live', '/ready', '/metrics', '/ecv']) assert.equal(await asked(path), 200, path);
    const headers = { authorization: `Bearer ${TOKEN}` };
    assert.equal(await asked('/status.json', { headers }), 200);
    assert.equal(await asked('/control/scale', { headers, method: 'POST' }), 404);
    const shown = await openLive(program, withToken(WIDE));
    assert.equal(await shown.$('form'), null);
  });

  it('steers the cluster by keyboard, and each press needs a second', async () => {
    const program = await startApp({ monitor: { control: true, token: TOKEN } });
    const shown = await openLive(program, withToken(WIDE));
    const press = async (selector, times = 2) => {
      await shown.focus(selector);
      for (let time = 0; time < times; time += 1) await shown.keyboard.press('Enter');
    };
    await press('[action$="control/reload"] button', 1);
    assert.match(await shown.textContent('[action$="control/reload"] button'), /Sure/);
    await shown.fill('[name="reason"]', 'new <b>disk</b>');
    await press('[action$="control/disable"] button');
    await shown.waitForSelector('[data-cell="ecv"].poor');
    assert.match(await shown.textContent('[data-cell="change"]'), /the monitor's page, from 127\.0\.0\.1.*new <b>disk<\/b>/);
    assert.equal((await request(program.port, { path: '/ecv' })).status, 400);
    await press('[action$="control/enable"] button');
    await shown.waitForSelector('[data-cell="ecv"].good');
    await shown.fill('[name="workers"]', '3');
    await press('[action$="control/scale"] button');
    await eventually(async () => (await pids(shown)).length === 3);
    const [first] = await pids(shown);
    await press('#rows tr:first-child button');
    await eventually(async () => (await pids(shown)).length === 3 && !(await pids(shown)).includes(first));
    await press('[action$="control/reload"] button');
    await shown.waitForFunction(() => /reloaded/.test(document.querySelector('#timeline').textContent));
    assert.equal(await shown.$('#timeline b'), null);
    assert.deepEqual(shown.seen.complaints, []);
  });

  it('offers no change of workers where there are none', async () => {
    const [port, monPort] = [await freePort(), await freePort()];
    const options = { port, monPort, monHost: '127.0.0.1', cluster: false, monitor: { control: true, token: TOKEN } };
    const program = Object.assign(start('ecv', { options, args: ['http'] }), { url: `http://127.0.0.1:${monPort}/` });
    await program.line('callback');
    const shown = await openLive(program, withToken(WIDE));
    const forms = await shown.$$eval('form', (all) => all.map((form) => form.getAttribute('action')));
    assert.deepEqual(forms, ['control/disable', 'control/enable']);
    const headers = { authorization: `Bearer ${TOKEN}` };
    const post = { method: 'POST', path: '/control/scale', headers, body: 'workers=2' };
    assert.equal((await request(monPort, post)).status, 409);
    assert.deepEqual(await pids(shown), [program.pid]);
  });

  it('lets no other site steer the cluster', async () => {
    const program = await startApp({ monitor: { control: true, token: TOKEN } });
    const shown = await openLive(program, withToken(WIDE));
    // The browser knows the password by now, and gives it to whatever makes it ask.
    const form = `<form method="post" action="${program.url}control/disable"></form>`;
    const evil = http.createServer((_, response) => response.setHeader('content-type', 'text/html').end(form));
    await new Promise((resolve) => { evil.listen(0, '127.0.0.1', resolve); });
    await shown.goto(`http://localhost:${evil.address().port}/`);
    await Promise.all([shown.waitForURL(`${program.url}**`), shown.$eval('form', (it) => it.submit())]);
    assert.match(await shown.content(), /Forbidden/);
    evil.close();
    const foreign = { authorization: `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}` };
    for (const [name, value] of [['origin', 'http://evil.example'], ['sec-fetch-site', 'cross-site']]) {
      const answer = await request(program.monPort,
        { method: 'POST', path: '/control/disable', headers: { ...foreign, [name]: value } });
      assert.deepEqual([answer.status, answer.body], [403, 'Forbidden\n']);
    }
    assert.equal((await request(program.port, { path: '/ecv' })).status, 200);
  });

  it('works without JavaScript also where it steers', async () => {
    const program = await startApp({ monitor: { control: true, token: TOKEN } });
    const shown = await openPage({ ...withToken(PHONE), javaScriptEnabled: false });
    await shown.goto(program.url);
    await shown.click('[action$="control/disable"] button');
    await shown.waitForSelector('[data-cell="ecv"].poor');
    assert.equal(shown.url(), program.url);
  });
});

/** Runs in the browser: everything that is shown, by name. */
function readPage() {
  const texts = (cells) => Object.fromEntries(cells.map((cell) => [cell.dataset.cell, cell.textContent]));
  const rows = document.querySelector('#rows');
  const all = [...document.querySelectorAll('[data-cell]')];
  return {
    look: document.body.dataset.look,
    facts: texts(all.filter((cell) => !rows.contains(cell))),
    rows: [...rows.children].map((row) => texts([...row.querySelectorAll('[data-cell]')])),
    events: [...document.querySelectorAll('#timeline > li')]
      .map((item) => ({ name: item.querySelector('strong').textContent })),
  };
}

/** The cells that show a look's figures are those figures, as far as their digits go. */
function same(cells, figures) {
  const expected = {
    rate: shortly(figures.requestsPerSecond),
    p50: time(figures.p50Ms),
    p99: time(figures.p99Ms),
    connections: String(figures.connectionsOpen),
    'under-way': String(figures.requestsUnderWay),
    lag: time(figures.loopLagMs),
    rss: `${shortly(figures.rssBytes / 2 ** 20)} MB`,
  };
  for (const [name, text] of Object.entries(expected)) {
    if (name in cells) assert.ok(isSame(cells[name], text), `${name}: ${cells[name]}, ${text}`);
  }
  const percents = { cpu: figures.cpuPercent, loop: figures.loopUtilisation * 100 };
  for (const [name, percent] of Object.entries(percents)) {
    if (!(name in cells)) continue;
    const shown = cells[name] === '–' ? null : Number(cells[name].replace('%', ''));
    assert.ok(percent === null ? shown === null : Math.abs(shown - percent) <= 0.501, `${name}: ${shown}, ${percent}`);
  }
}

// Rust rounds what lies in the middle to the even digit, JavaScript up: the last digit may be one lower.
function isSame(shown, text) {
  const [[number, unit], [wanted, unitWanted]] = [shown, text].map((each) => each.split(' '));
  if (number === wanted) return unit === unitWanted;
  const digits = wanted.split('.')[1]?.length ?? 0;
  return unit === unitWanted && (Number(wanted) - 10 ** -digits).toFixed(digits) === number;
}

function shortly(number) {
  if (number === null) return '–';
  return number > 0 && number < 9.95 ? number.toFixed(1) : number.toFixed(0);
}

function time(ms) {
  if (ms === null) return '–';
  return ms < 999.5 ? `${shortly(ms)} ms` : `${shortly(ms / 1000)} s`;
}

/** What axe-core finds that is serious or worse. It is run past the page's policy, which would rightly refuse it. */
async function findFaults(shown) {
  const source = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
  await shown.evaluate(source);
  const { violations } = await shown.evaluate(() => window.axe.run());
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const places = (nodes) => nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`);
  return grave.map(({ id, nodes }) => `${id}: ${places(nodes)}`);
}
