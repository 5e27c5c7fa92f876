// The cluster under torture: HTTP/1.1 on a port and at a unix path, https, HTTP/2, WebSocket and raw TCP, at the ports
// that the environment names.
//
// `/answer?id=&bytes=&ms=` answers `<pid> <id> xxx`, the second half `ms` later; `/upload?id=` says how many bytes it
// was sent; a WebSocket and a raw connection say the pid and then echo. `/do?<deed>=<amount>` is for faults: the worker
// reports the deed and does it. What workers say comes from themselves, since the master's words may be late.
// Workers run it as a script of cluster2's, and under script-master.js as it is.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');

const { WebSocketServer } = require('ws');

const certificate = require('../support/certificate');
const Cluster = require('../support/cluster');
const { attend, stand } = require('./master');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [plain, secure, second, raw] = process.env.TORTURE_PORTS.split(',').map(Number);

const deeds = {
  block: (ms) => stand(ms),
  abort: () => process.abort(),
  'block-master': (ms) => process.send({ deed: 'block-master', amount: ms }),
  hog: (ms) => process.send({ deed: 'hog', amount: ms }),
  flood: (count) => {
    for (let sent = 0; sent < count; sent += 1) process.send({ noise: noise += 1, padding: 'x'.repeat(1000) });
  },
};
let noise = 0;

function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://x');
  const figure = (name) => Number(searchParams.get(name) ?? 0);
  if (pathname === '/upload') {
    let bytes = 0;
    request.on('data', (part) => { bytes += part.length; });
    request.on('end', () => {
      const text = `${process.pid} ${figure('id')} ${bytes}`;
      response.writeHead(200, { 'x-pid': process.pid, 'content-length': text.length });
      response.end(text);
    });
    return;
  }
  request.resume();
  const text = `${process.pid} ${figure('id')} ${'x'.repeat(figure('bytes'))}`;
  response.writeHead(200, { 'x-pid': process.pid, 'content-length': text.length });
  if (pathname === '/do') {
    const [[deed, amount]] = searchParams;
    response.end(text, () => {
      report('deed', deed, Number(amount));
      deeds[deed](Number(amount));
    });
  } else if (figure('ms') > 0) {
    response.write(text.slice(0, text.length / 2));
    setTimeout(() => response.end(text.slice(text.length / 2)), figure('ms'));
  } else {
    response.end(text);
  }
}

const server = http.createServer(answer);
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data) => socket.send(String(data)));
  socket.send(`pid ${process.pid}`);
});
const rawServer = net.createServer((socket) => {
  socket.on('error', () => {});
  socket.write(`pid ${process.pid}\n`);
  socket.pipe(socket);
});

const c = new Cluster(options);
if (cluster.isPrimary) attend(c);
else reportEvents(c, 'draining');
c.listen((cb) => cb([
  { app: server, port: [plain, './plain.sock'] },
  { app: https.createServer(certificate, answer), port: secure },
  { app: http2.createSecureServer(certificate, answer), port: second },
  { app: rawServer, port: raw },
]), () => {
  report('serves');
  // There this comes once, when all listen.
  if (process.env.TORTURE_AS_SCRIPT) process.send('ready');
});
