// @ts-check
// Shows: Koa on a drained server, with a readiness route by bus.ready. The middleware at the top leaves requests alone whose job
//        the shutdown has interrupted.
// Try:   node examples/08-koa.js; run the curl line it prints elsewhere if you like; then Ctrl-C or the kill line.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import Koa from 'koa';
import { defaultBus, Interrupt, jobs } from 'shutdown-bus';
import { drainServer } from 'shutdown-bus/http';

const bus = defaultBus();
const app = new Koa();

app.use(async (ctx, next) => {
  try {
    await next();
  } catch (error) {
    if (!Interrupt.isCauseOf(error)) throw error;
    // drainServer answers, when the job was reported.
    ctx.respond = false;
  }
});

app.use(async (ctx, next) => {
  if (ctx.path !== '/ready') return next();
  ctx.status = bus.ready ? 200 : 503;
  ctx.body = bus.ready ? 'ok\n' : 'shutting down\n';
});

app.use(async (ctx) => {
  const rows = Number(ctx.query.rows ?? 5);
  await jobs.run({ type: 'export', payload: { rows } }, async (job) => {
    for (let row = 1; row <= rows; row++) {
      job.signal.throwIfAborted();
      await sleep(100); // one row
      job.checkpoint({ row });
    }
  });
  ctx.body = `${rows} rows\n`;
});

const server = app.listen(0, '127.0.0.1');
drainServer(server, { answer: { status: 202, body: 'not exported, but on record: it will be\n' } });
await once(server, 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
const address = `http://127.0.0.1:${port}`;

// Two clients, so that there is something to see without a second terminal.
for (const path of ['/?rows=5', '/?rows=36000']) {
  fetch(address + path).then(
    async (response) => console.log(`GET ${path}: ${response.status} ${(await response.text()).trim()}`),
    (error) => console.log(`GET ${path}: ${error.cause?.code ?? error.message}`),
  );
}
while (jobs.size < 2) await sleep(5);

console.log(`two requests are open; one more: curl '${address}/?rows=36000'`);
console.log(`end this process with: kill -TERM ${process.pid}`);
