// A server whose timeouts the application has chosen in part: the first argument says which and when.
'use strict';

const http = require('node:http');

const Cluster = require('../support/cluster');
const options = require('../support/options');
const { report, reportEvents } = require('../support/report');

const [choice] = process.argv.slice(2);
const [, name, when] = /^(\w+) ?(.*)$/.exec(choice);

const deeds = {
  '': (request, response) => response.end('hello'),
  slow: (request, response, ms) => setTimeout(() => response.end('slow'), Number(ms)),
  untimed: (request, response, what) => {
    (what === 'request' ? request : response).setTimeout(0);
    // Longer than the timeout, which this request does not have.
    setTimeout(() => response.end('untimed'), 2 * options.timeout);
  },
  timeouts: (request, response) => {
    const { headersTimeout, requestTimeout } = server;
    response.end(JSON.stringify({ headersTimeout, requestTimeout }));
  },
};
const server = http.createServer((request, response) => {
  if (when === 'when a request comes') choose();
  const [, deed, argument] = /^\/(\w*)\??(.*)$/.exec(request.url);
  deeds[deed](request, response, argument);
});
for (const event of ['upgrade', 'connect']) {
  server.on(event, (request, socket) => {
    socket.on('error', () => {});
    socket.on('timeout', () => report('timed out'));
    socket.write('HTTP/1.1 101 Over To You\r\n\r\n');
    socket.pipe(socket);
  });
}

function choose() {
  if (name === 'keepAliveTimeout') server.keepAliveTimeout = 2000;
  if (name === 'timeout') server.timeout = 10 * options.timeout;
  if (name === 'headersTimeout') Object.assign(server, { headersTimeout: 12345, requestTimeout: 23456 });
}

if (when === '' || when === 'before it is handed over') choose();
if (when === 'when it listens') server.on('listening', choose);

const c = new Cluster(options);
reportEvents(c, 'forked', 'listening', 'died', 'warning');
c.on('listening', () => report('addresses', c.addresses()));
c.listen((callback) => callback(server));
