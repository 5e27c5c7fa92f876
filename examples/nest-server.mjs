// npm install --no-save @nestjs/core @nestjs/common @nestjs/platform-express reflect-metadata rxjs
// node examples/nest-server.mjs
//
// A NestJS application: made with `init` in place of `listen`, its server is handed over. In TypeScript the decorators
// are written as usual; here, without a compiler, they are called. With Fastify's adapter
// `app.getHttpAdapter().getInstance()` is handed over in place of `app.getHttpServer()`.
import 'reflect-metadata';
import nodeCluster from 'node:cluster';
import http from 'node:http';

import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

// In your own project: import Cluster from 'cluster2-rs'
import Cluster from '../index.js';

class AppController {
  hello() {
    return 'hello';
  }
}
Get()(AppController.prototype, 'hello', Object.getOwnPropertyDescriptor(AppController.prototype, 'hello'));
Controller()(AppController);

class AppModule {}
Module({ controllers: [AppController] })(AppModule);

const c = new Cluster({ port: process.env.PORT ?? 3000, monPort: process.env.MON_PORT ?? 3001 });
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen(async (cb) => {
  // The master serves nothing: any server tells it what kind of app there will be, and spares it the whole application.
  if (nodeCluster.isPrimary) return cb(http.createServer());
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
  await app.init();
  // OnModuleDestroy and its like run after the worker's last answer, and are awaited.
  c.cleanup(() => app.close());
  return cb(app.getHttpServer());
});
