// npm install --no-save hono @hono/node-server && node examples/hono-server.mjs
//
// A Hono app is put into a server by `createAdaptorServer`, in place of `serve`, which would listen by itself.
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';

// In your own project: import Cluster from 'cluster2-rs'
import Cluster from '../index.js';

const app = new Hono();
app.get('/', (context) => context.text('hello'));

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen((cb) => cb(createAdaptorServer(app)));
