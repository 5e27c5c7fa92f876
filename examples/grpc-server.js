// npm install --no-save @grpc/grpc-js && node examples/grpc-server.js
//
// gRPC beside HTTP: the HTTP server is handed over, the gRPC server listens by itself in each worker. Both share their
// ports among the workers, and both are drained before a worker ends.
'use strict';

const nodeCluster = require('node:cluster');
const http = require('node:http');
const { promisify } = require('node:util');

const grpc = require('@grpc/grpc-js');

// In your own project: require('cluster2-rs')
const Cluster = require('..');

// Usually generated from a .proto file.
const text = { serialize: (value) => Buffer.from(value), deserialize: (bytes) => bytes.toString() };
const greeter = {
  greet: {
    path: '/Greeter/Greet',
    requestStream: false,
    responseStream: false,
    requestSerialize: text.serialize,
    requestDeserialize: text.deserialize,
    responseSerialize: text.serialize,
    responseDeserialize: text.deserialize,
  },
};

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen(async (cb) => {
  const server = http.createServer((request, response) => response.end('hello'));
  if (nodeCluster.isPrimary) return cb(server);
  const rpc = new grpc.Server();
  rpc.addService(greeter, { greet: (call, done) => done(null, `hello ${call.request} from ${process.pid}`) });
  const bind = promisify(rpc.bindAsync.bind(rpc));
  await bind(`127.0.0.1:${process.env.GRPC_PORT ?? 50051}`, grpc.ServerCredentials.createInsecure());
  c.cleanup(promisify(rpc.tryShutdown.bind(rpc)));
  return cb(server);
});
