import { once } from 'node:events';
import type { Server } from 'node:http';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { streamText } from 'hono/streaming';
import { drainServer } from '../../../http/index.js';
import { describeFramework } from './suite.js';

describeFramework('Hono', async ({ bus, held, now, job, pieces }, drain) => {
  const app = new Hono()
    .get('/held', async (c) => c.text(await held()))
    .get('/now', (c) => c.text(now()))
    .get('/stream', (c) =>
      streamText(c, async (stream) => {
        for await (const piece of pieces()) await stream.write(piece);
      }),
    )
    .get('/ready', (c) => c.text(bus.ready ? 'ok\n' : 'shutting down\n', bus.ready ? 200 : 503))
    .post('/job', async (c) => job(await c.req.json()))
    .onError((_error, c) => c.text('failed', 500));
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server;
  const drained = drain && drainServer(server, drain);
  await once(server, 'listening');
  return { server, undo: () => drained?.dispose() };
});
