// Puts descriptors under way that nobody receives: sends a server, as often as its argument says, to a process that
// reads nothing and acknowledges all the same. They stay until it ends.
'use strict';

const { spawn } = require('node:child_process');
const net = require('node:net');

const { report } = require('../support/report');

// The kernel takes so many messages for a process that reads nothing.
const PER_RECEIVER = 80;
// For each line of its input.
const ACKNOWLEDGES = 'while read line; do echo \'{"cmd":"NODE_HANDLE_ACK"}\' >&3; done';

const server = net.createServer().listen(0, '127.0.0.1', async () => {
  let left = Number(process.argv[2]);
  while (left > 0) {
    await putUnderWay(Math.min(left, PER_RECEIVER));
    left -= PER_RECEIVER;
  }
  report('under way');
});

async function putUnderWay(count) {
  const receiver = spawn('sh', ['-c', ACKNOWLEDGES], { stdio: ['pipe', 'ignore', 'inherit', 'ipc'] });
  process.on('exit', () => receiver.kill('SIGKILL'));
  const sent = Array.from({ length: count }, (_, n) => new Promise((resolve, reject) => {
    receiver.send({ n }, server, (error) => {
      if (error) return reject(error);
      receiver.stdin.write('\n');
      return resolve();
    });
  }));
  await Promise.all(sent);
}

process.once('SIGTERM', () => process.exit());
