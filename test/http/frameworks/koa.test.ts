import { once } from 'node:events';
import { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import Koa from 'koa';
import { drainServer } from '../../../http/index.js';
import { describeFramework } from './suite.js';

describeFramework('Koa', async ({ bus, held, now, job, pieces }, drain) => {
  const app = new Koa();
  app.silent = true;
  app.use(async (ctx) => {
    if (ctx.path === '/held') ctx.body = await held();
    else if (ctx.path === '/now') ctx.body = now();
    else if (ctx.path === '/stream') ctx.body = Readable.from(pieces());
    else if (ctx.path === '/job') await job(await json(ctx.req));
    else if (ctx.path === '/ready') {
      ctx.status = bus.ready ? 200 : 503;
      ctx.body = bus.ready ? 'ok\n' : 'shutting down\n';
    }
  });
  const server = app.listen(0, '127.0.0.1');
  const drained = drain && drainServer(server, drain);
  await once(server, 'listening');
  return { server, undo: () => drained?.dispose() };
});
