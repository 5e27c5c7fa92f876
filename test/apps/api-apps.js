// One app of the kind that the first argument names, handed over as its framework's users have it at hand.
'use strict';

const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');

const certificate = require('../support/certificate');
const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [kind] = process.argv.slice(2);
const answer = (request, response) => response.end(`hello from ${kind}`);

const kinds = {
  http: () => http.createServer(answer),
  function: () => answer,
  https: () => https.createServer(certificate, answer),
  http2: () => http2.createServer(answer),
  http2s: () => http2.createSecureServer({ ...certificate, allowHTTP1: true }, answer),
  tcp: () => net.createServer((socket) => {
    socket.on('error', () => {});
    socket.write('hello from tcp\r\n');
    socket.pipe(socket);
  }),
  express4: () => expressApp(require('express4')),
  express5: () => expressApp(require('express')),
  koa: () => {
    const Koa = require('koa');
    return new Koa().use((context) => { context.body = 'hello from koa'; });
  },
  fastify: () => require('fastify')().get('/', async () => 'hello from fastify'),
  'anything with listen': () => ({ listen: (...args) => http.createServer(answer).listen(...args) }),
};

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(kinds[kind]()));

function expressApp(express) {
  return express().get('/', (request, response) => response.send(`hello from ${kind}`));
}
