// Every kind of app, from start to graceful end.
'use strict';

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const https = require('node:https');

const certificate = require('../support/certificate');
const { connect, inTime, ready, reap, request, start } = require('../support');

const overHttp = async (port) => (await request(port)).body;

const clients = {
  tcp: async (port) => {
    const connection = await connect(port);
    await connection.send('echo').until(/\r\necho$/);
    connection.close();
    return 'hello from tcp';
  },
  https: (port) => inTime(new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, ca: certificate.cert, servername: 'localhost', agent: false };
    https.get(options, (response) => response.setEncoding('utf8').once('data', resolve)).on('error', reject);
  }), 'answer over https'),
  http2: (port) => overHttp2(`http://127.0.0.1:${port}`),
  http2s: (port) => overHttp2(`https://localhost:${port}`),
};

async function overHttp2(url) {
  const session = http2.connect(url, { ca: certificate.cert });
  try {
    return await inTime(new Promise((resolve, reject) => {
      session.on('error', reject);
      session.request({ ':path': '/' }).setEncoding('utf8').on('error', reject).once('data', resolve).end();
    }), 'answer over http2');
  } finally {
    session.destroy();
  }
}

const KINDS = ['http', 'function', 'https', 'http2', 'http2s', 'tcp', 'express4', 'express5', 'koa', 'fastify',
  'anything with listen'];

describe('an app', () => {
  afterEach(reap);

  for (const kind of KINDS) {
    it(`of the kind ${kind} is served and shut down`, async () => {
      const options = { noWorkers: 1, keepAliveGrace: 50 };
      const program = await ready(start('api-apps', { args: [kind], options }), 1);
      assert.equal(await (clients[kind] ?? overHttp)(program.port), `hello from ${kind}`);
      program.kill('SIGTERM');
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.equal((program.seen('died')[0]).args[1].code, 0);
      assert.equal(program.stderr, '');
    });
  }
});
