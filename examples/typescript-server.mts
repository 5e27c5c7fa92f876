// npm install --no-save tsx && npx tsx examples/typescript-server.mts
//
// A cluster script in TypeScript. Workers are started as the master was, so tsx translates the script for them as well.
import http from 'node:http';

// In your own project: import Cluster, { type ClusterOptions } from 'cluster2-rs'
import Cluster, { type ClusterOptions } from '../index.js';

interface Greeting {
  from: number;
}

const options: ClusterOptions = { port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 };
const c = new Cluster(options);
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.handle('greet', ({ from }: Greeting): string => `hello, worker ${from}`);

const server = http.createServer(async (_, res) => {
  res.end(await c.delegate<string>('greet', { from: process.pid } satisfies Greeting));
});

await new Promise((resolve) => { c.listen((cb) => cb(server), resolve); });
