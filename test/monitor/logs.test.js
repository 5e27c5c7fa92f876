// The logs directory on the monitor's port: listed, sent whole and in parts, followed, and never left.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');

const { connect, eventually, freePort, ready, reap, request, start } = require('../support');

const SECRET = 'nobody outside may read this';
const TEXT = 'first\nsecond\nthird\n';
const FOLLOWERS = 64;

for (const cluster of [true, false]) {
  describe(`logs, with cluster: ${cluster}`, function () {
    this.timeout(60000);
    let program;
    let file;
    let ask;

    before(async () => {
      const monPort = await freePort();
      const options = { port: cluster ? 0 : await freePort(), monPort, monHost: '127.0.0.1', cluster, logs: 'logs' };
      program = Object.assign(start('monitor', { options }), { monPort });
      if (cluster) await ready(program);
      else await program.line('addresses');
      ask = (at, rest) => request(monPort, { path: at, ...rest });
      file = (...names) => path.join(program.cwd, 'logs', ...names);
      fill(file, program.cwd);
    });
    after(reap);

    it('lists files by name, escaped, as a page and as JSON', async () => {
      const page = await ask('/logs');
      assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8']);
      assert.match(page.headers['content-security-policy'], /^default-src 'none'; style-src 'nonce-\w+'/);
      assert.match(page.body, /<a href="\/logs\/a\.log">a\.log<\/a>/);
      assert.match(page.body, /<a href="\/logs\/%3Cb%3E%20%26%20%22\.log">&lt;b&gt; &amp; &quot;\.log<\/a>/);
      assert.doesNotMatch(page.body, /<b>|secret|<script|https?:/);
      const { body, headers } = await ask('/logs/', { headers: { accept: 'application/json' } });
      assert.equal(headers['content-type'], 'application/json');
      const { logs, truncated } = JSON.parse(body);
      const names = ['<b> & ".log', 'a.log', 'absolute.log', 'empty.log', 'inside.log', 'old.log.gz', 'sub/c.log'];
      assert.deepEqual([logs.map(({ name }) => name), truncated], [names, false]);
      const { size, mtimeMs } = fs.statSync(file('a.log'));
      assert.deepEqual([logs[1].size, logs[1].href], [size, '/logs/a.log']);
      assert.ok(Math.abs(Date.parse(logs[1].mtime) - mtimeMs) < 2);
      for (const { href } of logs) assert.equal((await ask(href)).status, 200, href);
    });

    it('sends files as text that runs nowhere', async () => {
      const { status, headers, body } = await ask('/logs/a.log');
      assert.deepEqual([status, body], [200, TEXT]);
      assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
      assert.equal(headers['content-length'], String(TEXT.length));
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.match(headers['content-security-policy'], /^default-src 'none'/);
      const head = await ask('/logs/a.log', { method: 'HEAD' });
      assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', String(TEXT.length)]);
      assert.equal((await ask('/logs/sub/c.log')).body, 'in a folder\n');
      assert.equal((await ask('/logs/%61.log')).body, TEXT);
      assert.deepEqual(await bodyOf(ask('/logs/empty.log')), [200, '']);
      assert.equal((await ask('/logs/a.log', { method: 'POST' })).status, 405);
    });

    it('sends what is compressed as it is', async () => {
      const connection = await connect(program.monPort);
      connection.send('GET /logs/old.log.gz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      await connection.ended();
      const [head, ...rest] = connection.received.split('\r\n\r\n');
      assert.match(head, /content-type: application\/gzip/i);
      assert.doesNotMatch(head, /content-encoding/i);
      assert.equal(zlib.gunzipSync(Buffer.from(rest.join('\r\n\r\n'), 'latin1')).toString(), 'packed\n');
      assert.equal((await ask('/logs/old.log.gz?tail=1')).status, 400);
    });

    it('sends the part that is asked for', async () => {
      const part = async (range, rest = {}) => {
        const { status, headers, body } = await ask('/logs/a.log', { headers: { range, ...rest } });
        return [status, headers['content-range'], body];
      };
      assert.deepEqual(await part('bytes=6-11'), [206, 'bytes 6-11/19', 'second']);
      assert.deepEqual(await part('bytes=-6'), [206, 'bytes 13-18/19', 'third\n']);
      assert.deepEqual(await part('bytes=13-'), [206, 'bytes 13-18/19', 'third\n']);
      assert.deepEqual(await part('bytes=19-'), [416, 'bytes */19', '']);
      assert.deepEqual(await part('bytes=0-1,3-4'), [200, undefined, TEXT]);
      const { etag } = (await ask('/logs/a.log')).headers;
      assert.deepEqual((await part('bytes=0-0', { 'if-range': etag }))[0], 206);
      assert.deepEqual((await part('bytes=0-0', { 'if-range': '"other"' }))[0], 200);
    });

    it('sends the last lines', async () => {
      assert.deepEqual(await bodyOf(ask('/logs/a.log?tail=2')), [200, 'second\nthird\n']);
      assert.deepEqual(await bodyOf(ask('/logs/a.log?tail=0')), [200, '']);
      assert.deepEqual(await bodyOf(ask('/logs/a.log?tail=99')), [200, TEXT]);
      for (const tail of ['x', '-1', '100001', '']) assert.equal((await ask(`/logs/a.log?tail=${tail}`)).status, 400);
    });

    it('says 404 to folders, pipes, devices and what is not there', async () => {
      execFileSync('mkfifo', [file('pipe')]);
      for (const name of ['sub', 'sub/', 'none', 'none/a', 'a.log/', 'a.log/b', 'pipe', 'device', 'loop']) {
        assert.deepEqual(await bodyOf(ask(`/logs/${name}`)), [404, 'There is no such log.\n'], name);
      }
      for (const at of ['/logsfoo', '/log', '/LOGS/a.log']) assert.equal((await ask(at)).status, 404, at);
    });

    it('serves nothing from outside, however it is asked for', async () => {
      const paths = hostilePaths(program.cwd);
      assert.ok(paths.length >= 200, `${paths.length} paths`);
      const answers = new Map();
      const work = [...paths];
      const asker = async () => {
        for (let at = work.pop(); at !== undefined; at = work.pop()) answers.set(at, await raw(program.monPort, at));
      };
      await Promise.all(Array.from({ length: 8 }, asker));
      for (const [at, answer] of answers) {
        assert.ok(!answer.includes(SECRET) && !answer.includes('root:'), `${JSON.stringify(at)} gave ${answer}`);
        assert.match(answer, /^HTTP\/1\.1 (400|404|414|431) |^$/, JSON.stringify(at));
      }
      assert.equal((await ask('/logs/a.log')).body, TEXT);
    });

    it('follows a file, also when it is rotated, cut short, or gone for a while', async () => {
      const log = file('live.log');
      const write = (text) => fs.appendFileSync(log, text);
      write(Array.from({ length: 20 }, (_, line) => `line ${line}\n`).join(''));
      const connection = await follow('/logs/live.log?follow=1');
      await connection.until(/line 19\n/);
      assert.doesNotMatch(connection.received, /line 9\n/);
      write('more\n');
      await connection.until(/more\n/);

      const old = fs.openSync(log, 'a');
      fs.renameSync(log, `${log}.1`);
      fs.writeSync(old, 'last words\n');
      await connection.until(/last words\n/);
      write('new file\n');
      fs.writeSync(old, 'very last words\n');
      fs.closeSync(old);
      await connection.until(/very last words\n[^]*new file\n/);

      fs.truncateSync(log, 0);
      write('cut\n');
      await connection.until(/new file\n[^]*cut\n/);
      for (const text of ['line 19', 'more', 'very last words', 'new file', 'cut']) {
        assert.equal(connection.received.split(text).length, 2, `${text} in ${connection.received}`);
      }

      // What takes its name and is no file is not followed.
      fs.renameSync(log, `${log}.2`);
      fs.symlinkSync('../secret', log);
      fs.appendFileSync(`${log}.2`, 'still here\n');
      await connection.until(/still here\n/);
      fs.unlinkSync(log);
      write('back\n');
      await connection.until(/back\n/);
      assert.ok(!connection.received.includes(SECRET));
      connection.close();
    });

    it('follows from where it is told to', async () => {
      fs.writeFileSync(file('quiet.log'), TEXT);
      const connection = await follow('/logs/quiet.log?follow=1&tail=0');
      await connection.until(/\r\n\r\n/);
      fs.appendFileSync(file('quiet.log'), 'fourth\n');
      await connection.until(/fourth/);
      assert.doesNotMatch(connection.received, /third/);
      connection.close();
    });

    it('lets a bounded number follow', async () => {
      const all = [];
      const isTaken = async () => {
        const connection = await follow('/logs/a.log?follow=1');
        const [, status] = await connection.until(/^HTTP\/1\.1 (\d+)/);
        if (status === '200') return all.push(connection);
        assert.equal(status, '503');
        connection.close();
        return false;
      };
      // Those of the tests before may be there for another moment.
      await eventually(async () => (await isTaken()) >= FOLLOWERS);
      assert.equal(await isTaken(), false);
      assert.equal((await ask('/logs/a.log')).status, 200);
      all[0].close();
      await eventually(isTaken);
      for (const connection of all) connection.close();
    });

    async function follow(at) {
      return (await connect(program.monPort)).send(`GET ${at} HTTP/1.1\r\nHost: x\r\n\r\n`);
    }
  });
}

describe('logs, without a directory of that name', () => {
  afterEach(reap);

  it('are none; nobody makes the directory, and the page says where it looked', async () => {
    const monPort = await freePort();
    const options = { monPort, monHost: '127.0.0.1', logs: 'var/<log>' };
    const program = await ready(start('monitor', { options }));
    const { status, body } = await request(monPort, { path: '/logs' });
    assert.equal(status, 200);
    assert.ok(body.includes(`There is no directory ${program.cwd}/var/&lt;log&gt;.`), body);
    assert.deepEqual(program.files('var'), []);
  });
});

function fill(file, cwd) {
  fs.mkdirSync(file('sub'), { recursive: true });
  fs.writeFileSync(path.join(cwd, 'secret'), SECRET);
  fs.mkdirSync(path.join(cwd, 'logs-more'));
  fs.writeFileSync(path.join(cwd, 'logs-more', 'secret'), SECRET);
  fs.writeFileSync(file('a.log'), TEXT);
  fs.writeFileSync(file('empty.log'), '');
  fs.writeFileSync(file('<b> & ".log'), 'b');
  fs.writeFileSync(file('sub', 'c.log'), 'in a folder\n');
  fs.writeFileSync(file('old.log.gz'), zlib.gzipSync('packed\n'));
  const links = {
    'inside.log': 'sub/c.log', 'absolute.log': file('a.log'), 'out.log': '../secret', 'chain.log': 'out.log',
    'passwd.log': '/etc/passwd', 'sub/up2': '../..', 'sub/around': '../../logs/../secret', more: '../logs-more',
    dangling: '../logs-more/none', loop: 'loop', device: '/dev/zero', up: '..', root: '/', proc: '/proc/self/root',
    fd: '/proc/self/fd/0',
  };
  for (const [name, target] of Object.entries(links)) fs.symlinkSync(target, file(name));
}

const DOTS = ['..', '.%2e', '%2e.', '%2e%2e', '%2E%2E', '%252e%252e', '%c0%ae%c0%ae', '%e0%80%ae%e0%80%ae', '..%00',
  '%00..', '..;', '..;x=1', '....', '.. ', '..%20', '..%09', '%uff0e%uff0e', '\uff0e\uff0e', '%EF%BC%8E%EF%BC%8E',
  '\u2025', '..%0d%0a', '..\\..', '.%00.', '%2e%2e%5c', '..%ff'];
const SLASHES = ['/', '//', '%2f', '%2F', '%5c', '\\', '%252f', '%c0%af', '\u2215', '/./', '/sub/../'];
const LINKS = ['out.log', 'chain.log', 'up/secret', 'root/etc/passwd', 'proc/etc/passwd', 'fd', 'sub/up2/secret',
  'passwd.log', 'more/secret', 'more/../secret', 'up/logs-more/secret', 'dangling', 'sub/around', 'up/logs/../secret',
  'root/proc/self/environ', 'root/proc/self/maps', 'up/up/secret', 'out.log%00.log', 'OUT.LOG/../out.log'];
const NAMES = ['/etc/passwd', '//etc/passwd', '%2fetc%2fpasswd', '/%2fetc/passwd', 'C:\\secret', 'file:///etc/passwd',
  '~/secret', '%7e/secret', 'a.log/../../secret', 'a.log%00../../secret', '%', '%2', '%zz', '%00', '..', '.',
  '../logs-more/secret', '-more/secret', `${'a/'.repeat(500)}secret`, `${'../'.repeat(500)}etc/passwd`,
  'a'.repeat(300), 'a'.repeat(5000), `${'a'.repeat(255)}/secret`, 'a'.repeat(15000), '\u202e', '\ufeff../secret',
  '%0a../secret', 'CON', '*', 'a.log\0', '\0../secret', 'out.log\0.txt', '\u0007../secret'];
const WHOLE = ['/logs-more/secret', '/logs/../secret', '/logs../secret', '/logs..%2fsecret', '/./logs/../secret',
  '//logs/../secret', '/x/../logs/out.log', 'http://x/logs/../secret', 'http://x/logs/out.log', '../secret',
  '/secret', '/logs\\..\\secret', '/%6cogs/../secret'];

// Ways out, as they have worked somewhere: by dots, encodings, links, and names that are hard to read.
function hostilePaths(cwd) {
  const climbing = DOTS.flatMap((dots) => SLASHES.flatMap((slash) => [
    `${dots}${slash}secret`,
    `sub/${dots}${slash}${dots}${slash}secret`,
    `${`${dots}${slash}`.repeat(12)}etc/passwd`,
  ]));
  const names = [...climbing, ...LINKS, ...NAMES, cwd, `${cwd}/secret`, `/${cwd}/secret`];
  return [...names.map((name) => `/logs/${name}`), ...WHOLE];
}

// Asks in bytes, as no client library would; '' where the server hangs up.
async function raw(port, at) {
  const connection = await connect(port);
  connection.send(`GET ${at} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  await connection.ended();
  connection.close();
  return connection.received;
}

async function bodyOf(answer) {
  const { status, body } = await answer;
  return [status, body];
}
