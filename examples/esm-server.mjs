// node examples/esm-server.mjs
//
// A cluster script that is an ES module, with `await` at its top level.
import { readFile } from 'node:fs/promises';
import http from 'node:http';

// In your own project: import Cluster from 'cluster2-rs', or import { Cluster } from 'cluster2-rs'
import Cluster from '../index.js';

const source = await readFile(new URL(import.meta.url), 'utf8');
const server = http.createServer((req, res) => res.end(source));

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen((cb) => cb(server));
