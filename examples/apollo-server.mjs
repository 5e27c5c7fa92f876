// npm install --no-save @apollo/server @as-integrations/express5 express graphql@16 && node examples/apollo-server.mjs
//
// An Apollo server is middleware of an Express app, which is handed over. A GraphQL server has no page at `/`: the
// option `ecv.monitor` says what balancers are to have checked.
import { ApolloServer } from '@apollo/server';
import { expressMiddleware } from '@as-integrations/express5';
import express from 'express';

// In your own project: import Cluster from 'cluster2-rs'
import Cluster from '../index.js';

const c = new Cluster({
  port: process.env.PORT ?? 3000,
  monPort: process.env.MON_PORT ?? 3001,
  ecv: { monitor: '/health' },
});
c.on('listening', (pid) => console.log(`worker ${pid} listening on port ${c.addresses().app[0].port}`));
c.listen(async (cb) => {
  const server = new ApolloServer({
    typeDefs: 'type Query { hello: String }',
    resolvers: { Query: { hello: () => 'hello' } },
    // The end is this package's affair.
    stopOnTerminationSignals: false,
  });
  await server.start();
  // Apollo's plugins hear of the end after the worker's last answer, and are awaited.
  c.cleanup(() => server.stop());
  const app = express();
  app.get('/health', (request, response) => response.end('well'));
  app.use('/graphql', express.json(), expressMiddleware(server));
  cb(app);
});
