import { once } from 'node:events';
import { Readable } from 'node:stream';
import express from 'express';
import { drainServer, readinessProbe } from '../../../http/index.js';
import { describeFramework } from './suite.js';

describeFramework('Express', async ({ bus, held, now, job, pieces }, drain) => {
  const app = express()
    .use(express.json())
    .get('/held', async (_request, response) => response.send(await held()))
    .get('/now', (_request, response) => response.send(now()))
    .get('/stream', (_request, response) => Readable.from(pieces()).pipe(response))
    .get('/ready', readinessProbe(bus))
    .post('/job', async (request) => job(request.body));
  const server = app.listen(0, '127.0.0.1');
  const drained = drain && drainServer(server, drain);
  await once(server, 'listening');
  return { server, undo: () => drained?.dispose() };
});
