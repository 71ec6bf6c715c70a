// @ts-check
// Shows: Hono on Node on a drained server. A response that is being streamed comes to its end, and one that cannot is answered
//        when its job was reported.
// Try:   node examples/09-hono.js; run the curl line it prints elsewhere if you like; then Ctrl-C or the kill line.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono } from 'hono';
import { streamText } from 'hono/streaming';
import { defaultBus, Interrupt, jobs } from 'shutdown-bus';
import { drainServer } from 'shutdown-bus/http';

const bus = defaultBus();
const app = new Hono();

app.get('/ready', (c) => c.text(bus.ready ? 'ok\n' : 'shutting down\n', bus.ready ? 200 : 503));

app.get('/tokens', (c) =>
  streamText(c, async (stream) => {
    for (const token of ['one', 'two', 'three']) {
      await stream.write(`${token} `);
      await sleep(200);
    }
  }),
);

app.get('/render', (c) =>
  jobs.run({ type: 'render', payload: c.req.query() }, async (job) => {
    await sleep(3_600_000, undefined, { signal: job.signal }).catch(() => job.signal.throwIfAborted());
    return c.text('rendered\n');
  }),
);

app.onError((error, c) => {
  // drainServer answers, when the job was reported: whatever Hono is given here, it must not send it.
  if (Interrupt.isCauseOf(error)) return RESPONSE_ALREADY_SENT;
  return c.text('failed\n', 500);
});

const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
drainServer(server, { answer: { status: 202, body: 'not rendered, but on record: it will be\n' } });
await once(server, 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
const address = `http://127.0.0.1:${port}`;

// Two clients, so that there is something to see without a second terminal.
const clients = ['/tokens', '/render?page=7'].map(async (path) => {
  const response = await fetch(address + path);
  if (path === '/tokens') console.log('the stream has begun');
  console.log(`GET ${path}: ${response.status} ${(await response.text()).trim()}`);
});
Promise.all(clients).catch((error) => console.log(error.cause?.code ?? error.message));
while (jobs.size < 1) await sleep(5);

console.log(`two requests are open; one more: curl '${address}/render?page=8'`);
console.log(`end this process with: kill -TERM ${process.pid}`);
