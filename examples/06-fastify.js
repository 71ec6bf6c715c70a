// @ts-check
// Shows: Fastify, drained by a plugin. It serves until the last request is through, where its own close() would answer 503 from
//        the first moment; its onClose hooks run when the reports are out.
// Try:   node examples/06-fastify.js; run the curl line it prints elsewhere if you like; then Ctrl-C or the kill line.
import { setTimeout as sleep } from 'node:timers/promises';
import fastify from 'fastify';
import { Interrupt, jobs } from 'shutdown-bus';
import { fastifyShutdown } from 'shutdown-bus/http';

const app = fastify();

// Its options are those of drainServer. /ready answers 200, and 503 from the first moment of the shutdown.
await app.register(fastifyShutdown, {
  readinessPath: '/ready',
  answer: { status: 202, body: 'not rendered, but on record: it will be\n' },
});

// What a database plugin does: closed when nothing needs it any more.
app.addHook('onClose', async () => console.log('database closed'));

app.get('/pages/:ms', async (request, reply) => {
  const { ms } = /** @type {{ ms: string }} */ (request.params);
  // A job that is begun in a request belongs to it.
  const job = jobs.begin({ type: 'page', payload: { ms } });
  try {
    await sleep(Number(ms), undefined, { signal: job.signal });
    job.complete();
    return 'rendered\n';
  } catch (error) {
    if (!Interrupt.isCauseOf(error)) throw error;
    // Interrupted by the shutdown: leave the response alone, the drain answers.
    return reply.hijack();
  }
});

const address = await app.listen({ port: 0, host: '127.0.0.1' });

// Two clients, so that there is something to see without a second terminal.
for (const path of ['/pages/500', '/pages/3600000']) {
  fetch(address + path).then(
    async (response) => console.log(`GET ${path}: ${response.status} ${(await response.text()).trim()}`),
    (error) => console.log(`GET ${path}: ${error.cause?.code ?? error.message}`),
  );
}
while (jobs.size < 2) await sleep(5);

console.log(`two requests are open; one more: curl ${address}/pages/3600000`);
console.log(`end this process with: kill -TERM ${process.pid}`);
